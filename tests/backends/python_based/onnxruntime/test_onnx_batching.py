"""Which requests go together, and how they are joined and taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tritonsmith.backends.python_based.onnxruntime.onnx_batching import (
    BatchingError,
    Job,
    group_jobs,
    join_inputs,
    split_outputs,
    wanted_outputs,
)


def job(place: int, *shape: int, dtype: str = "f4", outputs: tuple[str, ...] = ("y",), **more: NDArray[Any]) -> Job:
    return Job(place, {"x": np.full(shape, place, dtype), **more}, frozenset(outputs))


def places(groups: list[list[Job]]) -> list[list[int]]:
    return [[member.place for member in group] for group in groups]


def test_equal_shapes_go_together_in_order() -> None:
    assert places(group_jobs([job(0, 1, 3), job(1, 2, 3), job(2, 1, 3)], 8)) == [[0, 1, 2]]


def test_shapes_that_differ_beyond_the_batch_axis_stay_apart() -> None:
    assert places(group_jobs([job(0, 1, 3), job(1, 1, 4), job(2, 1, 3)], 8)) == [[0, 2], [1]]


def test_types_that_differ_stay_apart() -> None:
    assert places(group_jobs([job(0, 1, 3), job(1, 1, 3, dtype="f8")], 8)) == [[0], [1]]


def test_a_request_without_an_optional_input_stays_apart() -> None:
    assert places(group_jobs([job(0, 1, 3), job(1, 1, 3, bias=np.zeros((1, 1)))], 8)) == [[0], [1]]


def test_no_group_has_more_rows_than_max_batch_size() -> None:
    assert places(group_jobs([job(0, 3, 2), job(1, 3, 2), job(2, 2, 2), job(3, 4, 2)], 6)) == [[0, 1], [2, 3]]


def test_without_batching_every_request_is_alone() -> None:
    assert places(group_jobs([job(0, 1, 3), job(1, 1, 3)], 0)) == [[0], [1]]


def test_ragged_inputs_go_together_and_are_laid_end_to_end() -> None:
    (group,) = group_jobs([job(0, 1, 3), job(1, 1, 2)], 8, frozenset({"x"}))
    assert join_inputs(group, frozenset({"x"}))["x"].tolist() == [0, 0, 0, 1, 1]


def test_joining_puts_rows_under_one_another() -> None:
    joined = join_inputs([job(0, 1, 2), job(1, 2, 2)])
    assert joined["x"].tolist() == [[0, 0], [1, 1], [1, 1]]


def test_one_request_is_not_copied() -> None:
    only = job(0, 4, 2)
    assert join_inputs([only])["x"] is only.inputs["x"]


def test_only_what_somebody_wants_is_computed() -> None:
    assert wanted_outputs([job(0, 1, 2, outputs=("b",)), job(1, 1, 2, outputs=("a", "b"))]) == ["a", "b"]


def test_each_request_gets_its_rows_of_what_it_wants() -> None:
    group = [job(0, 1, 2, outputs=("a",)), job(1, 2, 2, outputs=("a", "b"))]
    first, second = split_outputs(group, {"a": np.arange(3), "b": np.arange(3) * 10})
    assert {name: array.tolist() for name, array in first.items()} == {"a": [0]}
    assert {name: array.tolist() for name, array in second.items()} == {"a": [1, 2], "b": [10, 20]}


def test_an_output_without_a_row_for_each_row_cannot_be_split() -> None:
    with pytest.raises(BatchingError, match=r"output 'a' has shape \[1\] for a batch of 2"):
        split_outputs([job(0, 1, 2, outputs=("a",)), job(1, 1, 2, outputs=("a",))], {"a": np.arange(1)})


def test_a_request_that_ran_alone_has_its_outputs_whole() -> None:
    (only,) = split_outputs([job(0, 2, 2)], {"y": np.arange(7)})
    assert only["y"].tolist() == list(range(7))
