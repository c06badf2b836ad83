import base64
import struct
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import ModelMetadata, TensorSpec
from tritonsmith.backends.client.infer import Target
from tritonsmith.perf.gate.answers import Answers, find_difference, request_of

X, NAME = TensorSpec("x", "FP32", (-1, 3)), TensorSpec("name", "BYTES", (-1, 1))


def target(*inputs: TensorSpec, max_batch_size: int = 8) -> Target:
    return Target(ModelMetadata("digits", ("1",), "", inputs, ()), ModelConfig(max_batch_size=max_batch_size))


def answers(*values: Any, name: str = "y") -> Answers:
    return [[{name: np.asarray(value)}] for value in values]


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0, 3.0],
        {"content": [1.0, 2.0, 3.0], "shape": [3]},
        {"b64": base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()},
        {"content": {"b64": base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()}, "shape": [3]},
    ],
)
def test_each_form_of_a_row_is_read_as_perf_analyzer_reads_it(value: Any) -> None:
    wrapped = {"content": value} if isinstance(value, dict) and "b64" in value else value
    [tensor] = request_of({"x": wrapped}, target(X), "1").inputs
    assert (tensor.datatype, tensor.array.tolist()) == ("FP32", [[1.0, 2.0, 3.0]])


def test_strings_are_read_in_both_forms() -> None:
    encoded = base64.b64encode(struct.pack("<I", 2) + b"hi").decode()
    for value in (["hi"], {"content": {"b64": encoded}, "shape": [1]}):
        [tensor] = request_of({"name": value}, target(NAME), "1").inputs
        assert tensor.array.tolist() == [[b"hi"]]


def test_a_model_without_batches_gets_no_batch_axis() -> None:
    unbatched = TensorSpec("x", "FP32", (3,))
    [tensor] = request_of({"x": [1, 2, 3]}, target(unbatched, max_batch_size=0), "1").inputs
    assert tensor.array.shape == (3,)


def test_the_same_answers_do_not_differ() -> None:
    one = answers([[0.1, 0.9]], [[np.nan, np.inf]], name="scores")
    assert find_difference(one, one, 0.0) == ""


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ([0.0, 1000.0], [0.5, 1000.0], ""),
        ([0.0, 1000.0], [2.0, 1000.0], "row 1, output 'y': differs by 2, the largest value is 1e+03"),
        ([1, 2], [1, 3], "row 1, output 'y': the values differ"),
        ([b"seven"], [b"three"], "the values differ"),
        ([1.0, 2.0], [1.0], "float64 [1] instead of float64 [2]"),
        ([1.0], [1], "int64 [1] instead of float64 [1]"),
        ([1.0, np.nan], [1.0, 2.0], "NaN or infinity in other places"),
    ],
)
def test_what_differs_is_named(expected: list[Any], got: list[Any], said: str) -> None:
    found = find_difference(answers(expected), answers(got), 0.001)
    assert said in found
    assert bool(said) == bool(found)


def test_other_outputs_and_other_numbers_of_responses_are_named() -> None:
    assert find_difference(answers([1.0]), answers([1.0], name="z"), 0.0) == "row 1: outputs z instead of y"
    assert find_difference([[{}, {}]], [[{}]], 0.0) == "row 1: 1 responses instead of 2"
