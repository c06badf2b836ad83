"""The digits demo on a real server, held to the same three steps in one Python process, image by image."""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpc
import yaml
from PIL import Image
from tritonclient.utils import InferenceServerException

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.image_classification.reference import (
    FOLDER,
    Classification,
    HeldOutImage,
    classify,
    read_held_out,
)

pytestmark = pytest.mark.live

STEPS = ("preprocessing", "classifier", "postprocessing")
# ONNX Runtime multiplies one row and many rows in different orders; probabilities differ in the last bits.
TOLERANCE = 1e-6


# A second pipeline beside the demo's, unlike it in everything that can be set.
COLOURS = {
    "use": "image_classification",
    "with": {
        "file": "colours.onnx",
        "labels": "colours.txt",
        "input": "x",
        "output": "probabilities",
        "width": 6,
        "height": 4,
        "channels": 3,
        "scale": 1,
        "layout": "NHWC",
        "data_type": "TYPE_UINT8",
        "top_k": 3,
        "activation": "none",
        "max_batch_size": 4,
        "instances": {"preprocessing": 2},
    },
    "names": {step: f"colours_{step}" for step in STEPS},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("digits")
    shutil.copytree(FOLDER / "demo", folder / "demo")
    onnx.save(colour_model(), folder / "colours.onnx")
    (folder / "colours.txt").write_text("red\ngreen\nblue\n")
    spec = yaml.safe_load((FOLDER / "spec.yaml").read_text())
    spec["pipelines"]["colours"] = COLOURS
    (folder / "tritonsmith.yaml").write_text(yaml.safe_dump(spec))
    build_repository(folder / "tritonsmith.yaml", folder / "repository")
    with embedded_server(folder / "repository") as server:
        yield server
        server.process.kill()  # how servers end is told by test_server.py


def colour_model() -> onnx.ModelProto:
    """How much red, green and blue an image has, from 0 to 1: its mean over height and width."""
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["floats"], to=kinds.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Div", ["means", "most"], ["probabilities"]),
        ],
        "colours",
        [helper.make_tensor_value_info("x", kinds.UINT8, ["n", 4, 6, 3])],
        [helper.make_tensor_value_info("probabilities", kinds.FLOAT, ["n", 3])],
        [helper.make_tensor("most", kinds.FLOAT, [1], [255.0])],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[grpc.InferenceServerClient]:
    with grpc.InferenceServerClient(server.grpc_url) as client:
        yield client


@pytest.fixture(scope="module")
def held_out() -> list[HeldOutImage]:
    return read_held_out()


@pytest.fixture(scope="module")
def expected(held_out: Sequence[HeldOutImage]) -> list[Classification]:
    answers = classify([image.data for image in held_out])
    assert all(isinstance(answer, Classification) for answer in answers)
    return answers  # type: ignore[return-value]


def ask(client: grpc.InferenceServerClient, *images: bytes, model: str = "digits") -> Future[Any]:
    """Send one request; the result comes as (labels, scores), or as the server's error."""
    tensor = grpc.InferInput("image", [len(images), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[image] for image in images], dtype=np.object_))
    answer: Future[Any] = Future()

    def done(result: Any, error: Any) -> None:
        if error:
            answer.set_exception(error)
        else:
            answer.set_result((result.as_numpy("label"), result.as_numpy("score")))

    client.async_infer(model, [tensor], done, client_timeout=60)
    return answer


def check(answers: Sequence[Future[Any]], expected: Sequence[Classification]) -> list[str]:
    """Hold the answers to the reference's and return their labels."""
    labels = [label.decode() for answer in answers for label in answer.result()[0][:, 0]]
    scores = [score for answer in answers for score in answer.result()[1][:, 0]]
    assert labels == [one.labels[0] for one in expected]
    assert np.allclose(scores, [one.scores[0] for one in expected], rtol=0, atol=TOLERANCE)
    return labels


def test_every_image_is_answered_as_in_one_process(
    client: grpc.InferenceServerClient, held_out: list[HeldOutImage], expected: list[Classification]
) -> None:
    labels = check([ask(client, image.data) for image in held_out], expected)
    right = [label == image.label for label, image in zip(labels, held_out, strict=True)]
    assert np.mean(right) >= 0.96


def test_requests_of_many_images_are_answered_as_in_one_process(
    client: grpc.InferenceServerClient, held_out: list[HeldOutImage], expected: list[Classification]
) -> None:
    sizes = [1, 64, 7, 30, 2, 63, 64, 64, 1]
    starts = np.cumsum([0, *sizes])
    answers = [
        ask(client, *(image.data for image in held_out[start:stop])) for start, stop in itertools.pairwise(starts)
    ]
    check(answers, expected[: starts[-1]])


def test_requests_are_batched_through_all_three_steps(
    client: grpc.InferenceServerClient, held_out: list[HeldOutImage], expected: list[Classification]
) -> None:
    before = {name: counts(client, name) for name in STEPS}
    check([ask(client, image.data) for image in held_out], expected)
    for name in STEPS:
        inferences, executions = np.subtract(counts(client, name), before[name])
        assert inferences == len(held_out)
        assert executions < inferences, name  # how much fewer is the luck of a busy machine


def counts(client: grpc.InferenceServerClient, name: str) -> tuple[int, int]:
    (statistics,) = client.get_inference_statistics(name).model_stats
    return statistics.inference_count, statistics.execution_count


def test_a_bad_image_fails_its_own_request_alone(
    client: grpc.InferenceServerClient, held_out: list[HeldOutImage], expected: list[Classification]
) -> None:
    images = [image.data for image in held_out[:48]]
    images[7] = images[7][:60]
    images[30] = b"GIF89a, not one of ours"
    answers = [ask(client, image) for image in images]
    bad = {place: answers.pop(place) for place in (30, 7)}
    check(answers, [one for place, one in enumerate(expected[:48]) if place not in bad])
    with pytest.raises(InferenceServerException, match="image 1 of 1: damaged image of 60 bytes"):
        bad[7].result()
    with pytest.raises(InferenceServerException, match="neither PNG nor JPEG: 23 bytes that start with b'GIF89a, '"):
        bad[30].result()


def test_a_photo_is_answered_too(client: grpc.InferenceServerClient) -> None:
    labels, scores = ask(client, (FOLDER / "demo" / "images" / "7-photo.jpg").read_bytes()).result()
    assert labels.tolist() == [[b"7"]]
    assert scores[0, 0] > 0.9


def test_a_second_pipeline_has_its_own_pixels_tensors_and_labels(client: grpc.InferenceServerClient) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), (10, 255, 51)).save(stream, "PNG")
    answers = [ask(client, *[stream.getvalue()] * count, model="colours") for count in (1, 3, 4)]
    for count, answer in zip((1, 3, 4), answers, strict=True):
        labels, scores = answer.result()
        assert labels.tolist() == [[b"green", b"blue", b"red"]] * count
        assert np.allclose(scores, [[1, 51 / 255, 10 / 255]] * count)


def test_more_images_than_a_batch_holds_are_refused(client: grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="batch-size must be <= 4"):
        ask(client, *[b""] * 5, model="colours").result()
