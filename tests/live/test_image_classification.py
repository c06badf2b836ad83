"""The digits demo on a real server, held to the same three steps in one Python process, image by image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from tritonsmith.backends.server import Server, embedded_server
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository: Path = tmp_path_factory.mktemp("digits") / "repository"
    build_repository(FOLDER / "spec.yaml", repository)
    with embedded_server(repository) as server:
        yield server


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


def ask(client: grpc.InferenceServerClient, *images: bytes) -> Future[Any]:
    """Send one request; the result comes as (labels, scores), or as the server's error."""
    tensor = grpc.InferInput("image", [len(images), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[image] for image in images], dtype=np.object_))
    answer: Future[Any] = Future()

    def done(result: Any, error: Any) -> None:
        if error:
            answer.set_exception(error)
        else:
            answer.set_result((result.as_numpy("label"), result.as_numpy("score")))

    client.async_infer("digits", [tensor], done, client_timeout=60)
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
        assert executions < inferences / 2, name


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
