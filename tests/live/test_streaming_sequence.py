"""Interleaved streams on a real server give, to the bit, what each gives alone."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as grpc
import yaml
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.streaming_sequence.blueprint import BLUEPRINT

pytestmark = pytest.mark.live

STREAMS = 50
PLACES = 64  # streams open at once, over both instances
IDLE_US = 3_000_000
OUTPUTS = ("surprise", "average", "step", "stream")
STATE = ("mean", "variance", "steps")

Answer = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Stream:
    """One stream: its correlation id, its readings [steps, 1, 4], and whether it sends END."""

    id: int
    readings: NDArray[np.float32]
    is_ended: bool = True


@pytest.fixture(scope="module", params=["direct", "oldest"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("streams")
    spec = yaml.safe_load((BLUEPRINT.folder / "spec.yaml").read_text())
    settings = spec["pipelines"]["readings"]["with"]
    settings |= {"strategy": request.param, "instances": 2, "max_sequence_idle_microseconds": IDLE_US}
    del settings["max_candidate_sequences"]
    if request.param == "direct":
        settings["max_batch_size"] = PLACES // 2
    else:
        settings |= {"max_candidate_sequences": PLACES // 2, "max_batch_size": 8}
    shutil.copytree(BLUEPRINT.folder / "demo", folder / "demo")
    (folder / "tritonsmith.yaml").write_text(yaml.safe_dump(spec | {"triton": "24.10"}))
    build_repository(folder / "tritonsmith.yaml", folder / "repository")
    with embedded_server(folder / "repository") as server, grpc.InferenceServerClient(server.grpc_url) as client:
        yield client
        server.process.kill()  # how servers end is told by test_server.py


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(str(BLUEPRINT.folder / "demo" / "readings.onnx"))


def make_streams(count: int, first_id: int, *, vanishing: int = 0) -> list[Stream]:
    """Streams of 1 to 20 steps; `vanishing` of them, spread evenly, never send END."""
    random = np.random.RandomState(first_id)
    silent = set(range(0, count, count // vanishing)[:vanishing]) if vanishing else set()
    return [
        Stream(
            first_id + n,
            random.standard_normal((random.randint(1, 21), 1, 4)).astype(np.float32) * 10,
            is_ended=n not in silent,
        )
        for n in range(count)
    ]


def alone(session: Any, stream: Stream) -> list[Answer]:
    """What a stream gives in this process, with nobody beside it."""
    state: Mapping[str, NDArray[Any]] = {
        "mean": np.zeros((1, 4), np.float32),
        "variance": np.zeros((1, 4), np.float32),
        "steps": np.zeros((1, 1), np.int64),
    }
    answers = []
    for step, reading in enumerate(stream.readings):
        controls = {
            "START": np.array([[step == 0]]),
            "END": np.array([[stream.is_ended and step == len(stream.readings) - 1]]),
            "READY": np.array([[True]]),
            "CORRID": np.array([[stream.id]], np.uint64),
        }
        names = [*OUTPUTS, *(f"{name}_next" for name in STATE)]
        answer = dict(zip(names, session.run(names, {"reading": reading, **controls, **state}), strict=True))
        state = {name: answer.pop(f"{name}_next") for name in STATE}
        answers.append(answer)
    return answers


def send(client: grpc.InferenceServerClient, stream: Stream, *, seed: int | None = None) -> list[Answer]:
    """Send a stream step by step, each after the answer to the one before, with random pauses where a seed is given."""
    pauses = random.Random(seed)
    answers = []
    for step, reading in enumerate(stream.readings):
        if seed is not None and pauses.random() < 0.3:
            time.sleep(pauses.random() * 0.01)
        answers.append(ask(client, stream.id, reading, step == 0, stream.is_ended and step == len(stream.readings) - 1))
    return answers


def ask(
    client: grpc.InferenceServerClient, id_: int, reading: NDArray[np.float32], is_first: bool, is_last: bool
) -> Answer:
    tensor = grpc.InferInput("reading", list(reading.shape), "FP32")
    tensor.set_data_from_numpy(reading)
    result = client.infer(
        "readings", [tensor], sequence_id=id_, sequence_start=is_first, sequence_end=is_last, client_timeout=60
    )
    return {name: result.as_numpy(name) for name in OUTPUTS}


def assert_equal(served: list[Answer], expected: list[Answer]) -> None:
    assert len(served) == len(expected)
    for one, other in zip(served, expected, strict=True):
        for name in OUTPUTS:
            assert one[name].dtype == other[name].dtype
            assert np.array_equal(one[name], other[name]), name


@pytest.mark.parametrize("vanishing", [0, 10])
def test_fifty_interleaved_streams_give_what_each_gives_alone(
    client: grpc.InferenceServerClient, session: Any, vanishing: int
) -> None:
    streams = make_streams(STREAMS, 1000 + 100 * vanishing, vanishing=vanishing)
    with ThreadPoolExecutor(STREAMS) as threads:
        served = list(threads.map(lambda stream: send(client, stream, seed=stream.id), streams))
    for stream, answers in zip(streams, served, strict=True):
        assert_equal(answers, alone(session, stream))


def test_more_streams_than_places_wait_for_one(client: grpc.InferenceServerClient, session: Any) -> None:
    streams = make_streams(2 * PLACES, 4000)
    with ThreadPoolExecutor(len(streams)) as threads:
        served = list(threads.map(lambda stream: send(client, stream), streams))
    for stream, answers in zip(streams, served, strict=True):
        assert_equal(answers, alone(session, stream))


def test_streams_share_batches(client: grpc.InferenceServerClient) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda stream: send(client, stream), make_streams(16, 5000)))
    (statistics,) = client.get_inference_statistics("readings").model_stats
    assert max(entry.batch_size for entry in statistics.batch_stats) > 1


def test_a_stream_that_vanished_starts_afresh(client: grpc.InferenceServerClient, session: Any) -> None:
    (lost,) = make_streams(1, 6000, vanishing=1)
    (again,) = make_streams(1, 6000)
    send(client, lost)
    assert_equal(send(client, again), alone(session, again))


def test_the_place_of_a_stream_that_vanished_is_given_to_another(
    client: grpc.InferenceServerClient, session: Any
) -> None:
    with ThreadPoolExecutor(PLACES) as threads:
        list(threads.map(lambda stream: send(client, stream), make_streams(PLACES, 7000, vanishing=PLACES)))
    (late,) = make_streams(1, 8000)
    assert_equal(send(client, late), alone(session, late))


def test_a_stream_cannot_continue_without_its_start(client: grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        ask(client, 9999, np.zeros((1, 4), np.float32), False, False)
