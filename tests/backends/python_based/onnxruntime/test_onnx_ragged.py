"""Ragged batches: what tells requests of unequal shape apart, and how outputs are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.onnxruntime.onnx_ragged import (
    batch_inputs,
    ragged_names,
    scatter,
    scatter_targets,
)

REQUESTS = [{"x": np.zeros((1, 2, 3))}, {"x": np.zeros((2, 1, 4))}]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("BATCH_ELEMENT_COUNT", [6, 8]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [6, 14]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 6, 14]),
        ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", [0] * 8),
        ("BATCH_ITEM_SHAPE", [[2, 3], [1, 4], [1, 4]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [2, 3, 1, 4, 1, 4]),
    ],
)
@pytest.mark.parametrize("data_type", ["TYPE_INT32", "TYPE_FP32"])
def test_each_kind_of_batch_input(kind: str, value: list[Any], data_type: str) -> None:
    entry = {"kind": kind, "target_name": ["made"], "data_type": data_type, "source_input": ["x"]}
    made = batch_inputs({"batch_input": [entry]}, REQUESTS)["made"]
    assert made.tolist() == value
    assert made.dtype == (np.float32 if data_type == "TYPE_FP32" else np.int32)


def test_ragged_inputs_are_those_that_allow_it() -> None:
    config = {"input": [{"name": "x", "allow_ragged_batch": True}, {"name": "z"}]}
    assert ragged_names(config) == {"x"}


def test_a_batch_output_is_cut_to_its_source_inputs_shapes() -> None:
    config = {
        "max_batch_size": 4,
        "output": [{"name": "y", "dims": ["-1", "2"]}],
        "batch_output": [{"target_name": ["y"], "source_input": ["x"]}],
    }
    source, shape = scatter_targets(config)["y"]
    assert (source, shape) == ("x", (-1, -1, 2))
    first, second = scatter(np.arange(10), shape, [np.zeros((1, 2)), np.zeros((1, 3))])
    assert first.tolist() == [[[0, 1], [2, 3]]]
    assert second.tolist() == [[[4, 5], [6, 7], [8, 9]]]
