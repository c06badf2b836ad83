"""The memory of ONNX and TensorRT models: weights, activations, and what the server takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.errors import SpecError
from tritonsmith.perf.plan.core import total
from tritonsmith.perf.plan.memory.onnx import model_parts, onnx_memory

DIGITS = Path(__file__).parents[4] / "ensembles" / "image_classification" / "demo" / "digits.onnx"


def test_a_small_model_fits_and_keeps_no_cache() -> None:
    found = onnx_memory(DIGITS, GPUS["T4"], batch_size=64)
    assert found.fits
    assert found.kv_bytes_per_token == 0
    assert found.free_bytes.low < found.free_bytes.value <= found.free_bytes.high


def test_each_session_of_an_onnx_model_has_its_own_weights() -> None:
    one, three = (model_parts(DIGITS, instances=count)[0].bytes.value for count in (1, 3))
    assert three == 3 * one


def test_instances_of_a_plan_share_its_weights(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(bytes(1000))
    one, three = (model_parts(plan, instances=count) for count in (1, 3))
    assert one[0].bytes == three[0].bytes
    assert three[1].bytes.value == 3 * one[1].bytes.value
    assert three[1].bytes.high > 6 * three[1].bytes.value  # a guess, and said to be one


def test_a_total_is_no_surer_than_its_parts() -> None:
    parts = model_parts(DIGITS, batch_size=64)
    found = total(parts, "its parts")
    assert found.value == sum(part.bytes.value for part in parts)
    assert found.high - found.value >= max(part.bytes.high - part.bytes.value for part in parts)


def test_a_plan_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    with pytest.raises(SpecError, match="cannot read the plan"):
        model_parts(plan)
    plan.touch()
    with pytest.raises(SpecError, match="the plan is empty"):
        model_parts(plan)
