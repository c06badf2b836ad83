from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import InferResponse, ModelMetadata, Tensor, TensorSpec
from tritonsmith.backends.client.infer import Call, Target, build_requests, in_order, read_parameter, read_rows
from tritonsmith.generator.errors import UsageError


def target(max_batch_size: int = 8, optional: str = "") -> Target:
    names = ("x", "mask")
    inputs = tuple(TensorSpec(name, "FP32", (-1, 2) if max_batch_size else (2,)) for name in names)
    flags = [f'input {{ name: "{name}" optional: {str(name == optional).lower()} }}' for name in names]
    config = text_format.Parse(f"max_batch_size: {max_batch_size} {' '.join(flags)}", ModelConfig())
    return Target(ModelMetadata("m", ("1",), "", inputs, (TensorSpec("y", "FP32", (-1, 2)),)), config)


def test_an_optional_input_may_be_left_out() -> None:
    (request,) = build_requests(Call("m", texts=["x=[1, 2]"]), target(optional="mask"))
    assert [tensor.name for tensor in request.inputs] == ["x"]
    with pytest.raises(UsageError, match=r"also needs mask \(FP32 \[-1, 2\]\)"):
        build_requests(Call("m", texts=["x=[1, 2]"]), target())


def test_an_input_given_twice_is_two_rows() -> None:
    (request,) = build_requests(Call("m", texts=["x=[1, 2]", "x=[[3, 4], [5, 6]]"]), target(optional="mask"))
    np.testing.assert_array_equal(request.inputs[0].array, [[1, 2], [3, 4], [5, 6]])
    with pytest.raises(UsageError, match="does not batch"):
        build_requests(Call("m", texts=["x=[1, 2]", "x=[3, 4]"]), target(0, optional="mask"))


def test_each_object_of_a_file_is_a_request_and_a_step_of_the_sequence() -> None:
    rows = [{"x": [1, 2]}, {"x": [3, 4]}, {"x": [5, 6]}]
    call = Call("m", rows=rows, sequence_id=7, is_sequence_start=True, is_sequence_end=True, parameters={"k": 1})
    requests = build_requests(call, target(optional="mask"))
    assert [(r.parameters["sequence_start"], r.parameters["sequence_end"]) for r in requests] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert all(r.parameters["sequence_id"] == 7 and r.parameters["k"] == 1 for r in requests)


def test_a_number_of_a_file_that_would_become_infinite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('{"x": [1e400, 2]}')
    with pytest.raises(UsageError, match=r"input 'x' \(FP32 \[-1, 2\]\): 1E\+400 is out of range"):
        build_requests(Call("m", rows=read_rows(tmp_path / "rows.json")), target(optional="mask"))


def test_a_sequence_needs_an_id() -> None:
    with pytest.raises(UsageError, match="belong to a sequence"):
        build_requests(Call("m", texts=["x=[1, 2]"], is_sequence_end=True), target(optional="mask"))


def test_unknown_names_are_corrected() -> None:
    with pytest.raises(UsageError, match=r"has no input 'mas'\. Did you mean 'mask'\?"):
        build_requests(Call("m", rows=[{"mas": [1, 2]}]), target())
    with pytest.raises(UsageError, match="has no output 'z'"):
        build_requests(Call("m", texts=["x=[1, 2]"], outputs=["z"]), target(optional="mask"))
    with pytest.raises(UsageError, match="'x' is no input"):
        build_requests(Call("m", texts=["x"]), target())
    with pytest.raises(UsageError, match="'=3' is no input"):
        build_requests(Call("m", texts=["=3"]), target())


@pytest.mark.parametrize(
    ("text", "value"), [("k=1", 1), ("k=1.5", 1.5), ("k=true", True), ("k=a=b", "a=b"), ("k=", ""), ("k=[1]", "[1]")]
)
def test_parameters_are_typed_by_how_they_are_written(text: str, value: object) -> None:
    assert read_parameter(text) == ("k", value)
    assert type(read_parameter(text)[1]) is type(value)


def test_a_parameter_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="'k' is no parameter"):
        read_parameter("k")


@pytest.mark.parametrize("text", ["[", "[]", "3", "[1]"])
def test_a_file_without_inputs_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(UsageError, match=r"rows\.json"):
        read_rows(tmp_path / "rows.json")


def test_outputs_are_shown_in_the_order_of_the_metadata() -> None:
    specs = tuple(TensorSpec(name, "FP32", (1,)) for name in ("label", "score"))
    came = {name: Tensor(name, "FP32", np.zeros(1)) for name in ("extra", "score", "label")}
    ordered = in_order(InferResponse("m", "1", "", came, {}), ModelMetadata("m", ("1",), "", (), specs))
    assert list(ordered.outputs) == ["label", "score", "extra"]
