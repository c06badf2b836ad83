from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tritonsmith.ensembles.streaming_sequence.make_model import OUTPUTS, SENSORS, WEIGHT, stream_model

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `embedded` brings onnxruntime")

Tensors = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(stream_model().SerializeToString(), providers=["CPUExecutionProvider"])


def step(session: Any, readings: NDArray[np.float32], state: Tensors, **flags: bool) -> Tensors:
    rows = len(readings)
    controls = {"START": False, "END": False, "READY": True} | flags
    feeds = {
        "reading": readings,
        "CORRID": np.full((rows, 1), 7, np.uint64),
        **{name: np.full((rows, 1), flag) for name, flag in controls.items()},
        **state,
    }
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), feeds), strict=True))


def state_of(answer: Tensors) -> Tensors:
    return {name: answer[f"{name}_next"] for name in ("mean", "variance", "steps")}


def fresh(rows: int, value: float = 0) -> Tensors:
    floats = np.full((rows, SENSORS), value, np.float32)
    return {"mean": floats, "variance": floats, "steps": np.full((rows, 1), int(value), np.int64)}


def readings(seed: int, rows: int = 1) -> NDArray[np.float32]:
    return np.random.RandomState(seed).standard_normal((rows, SENSORS)).astype(np.float32)


def test_the_committed_model_is_what_the_script_makes() -> None:
    from tritonsmith.ensembles.streaming_sequence.blueprint import BLUEPRINT

    committed = (BLUEPRINT.folder / "demo" / "readings.onnx").read_bytes()
    assert committed == stream_model().SerializeToString(deterministic=True)


def test_the_first_reading_is_the_mean_and_no_surprise_whatever_the_state_was(session: Any) -> None:
    first = step(session, readings(1), fresh(1, value=9), START=True)
    assert np.array_equal(first["average"], readings(1))
    assert not first["surprise"].any()
    assert first["step"].item() == 1
    assert first["stream"].item() == 7


def test_the_mean_follows_the_readings_and_the_variance_their_spread(session: Any) -> None:
    first = step(session, readings(1), fresh(1), START=True)
    second = step(session, readings(2), state_of(first))
    third = step(session, readings(3), state_of(second))
    mean, variance = readings(1), np.zeros((1, SENSORS), np.float32)
    for seed in (2, 3):
        delta = readings(seed) - mean
        surprise = np.abs(delta) / np.sqrt(variance + np.float32(1e-6))
        mean = mean + WEIGHT * delta
        variance = (1 - WEIGHT) * (variance + WEIGHT * delta * delta)
    assert np.allclose(third["average"], mean, rtol=1e-6)
    assert np.allclose(third["surprise"], surprise, rtol=1e-5)
    assert third["step"].item() == 3


def test_a_padding_row_leaves_the_state_alone(session: Any) -> None:
    first = step(session, readings(1), fresh(1), START=True)
    idle = step(session, readings(2), state_of(first), READY=False)
    assert all(np.array_equal(idle[name], first[name]) for name in ("mean_next", "variance_next", "steps_next"))


def test_the_end_leaves_nothing_behind(session: Any) -> None:
    last = step(session, readings(1), fresh(1, value=3), END=True)
    assert last["step"].item() == 4
    assert not any(last[name].any() for name in ("mean_next", "variance_next", "steps_next"))


def test_a_stream_s_answers_do_not_depend_on_who_shares_its_batch(session: Any) -> None:
    together = step(session, readings(1, rows=33), fresh(33, value=2))
    for row in range(33):
        alone = step(session, readings(1, rows=33)[row : row + 1], fresh(1, value=2))
        assert all(np.array_equal(together[name][row], alone[name][0]) for name in OUTPUTS)
