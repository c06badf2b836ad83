"""A configuration is completed and checked by the C++ backend's rules, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from tritonsmith.backends.python_based.onnxruntime.onnx_signature import (
    ConfigMismatchError,
    Signature,
    Signatures,
    complete,
    needs_completion,
    validate,
)


def signatures(
    inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], initializers: tuple[str, ...] = ()
) -> Signatures:
    def tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, Signature]:
        return {name: Signature(name, "TYPE_FP32", shape) for name, shape in shapes.items()}

    return Signatures(tensors(inputs), tensors(outputs), tensors(dict.fromkeys(initializers, (1,))))


def tensor(name: str, *dims: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": "TYPE_FP32", "dims": [str(dim) for dim in dims], **more}


def config(*inputs: dict[str, Any], max_batch_size: int = 0, **more: Any) -> dict[str, Any]:
    base = {"name": "m", "max_batch_size": max_batch_size, "input": list(inputs)}
    return base | {"output": [tensor("y", 3)]} | more


BATCHING = signatures({"x": (-1, 3)}, {"y": (-1, 3)})
FIXED = signatures({"x": (2, 3)}, {"y": (3,)})


def test_nothing_is_completed_where_inputs_and_outputs_are_given() -> None:
    assert not needs_completion(config(tensor("x", 3)))
    assert needs_completion({"name": "m", "input": [tensor("x", 3)]})


def test_a_model_that_can_batch_gets_the_default_batch_size_and_a_dynamic_batcher() -> None:
    given: dict[str, Any] = {"name": "m", "max_batch_size": 0, "input": [], "output": []}
    notices = complete(given, BATCHING, 4)
    assert (given["max_batch_size"], given["dynamic_batching"]) == (4, {})
    assert given["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
    assert "autofilled max_batch_size to 4 for model 'm'" in notices[0]


def test_a_batch_size_that_is_given_stays_and_one_row_needs_no_batcher() -> None:
    given: dict[str, Any] = {"name": "m", "max_batch_size": 1}
    assert complete(given, BATCHING, 4) == []
    assert given["max_batch_size"] == 1
    assert "dynamic_batching" not in given


def test_a_sequence_batcher_stays_the_only_scheduler() -> None:
    given: dict[str, Any] = {"name": "m", "sequence_batching": {}}
    complete(given, BATCHING, 4)
    assert "dynamic_batching" not in given


def test_a_model_that_cannot_batch_gets_its_whole_shapes() -> None:
    given: dict[str, Any] = {"name": "m"}
    complete(given, FIXED, 4)
    assert given.get("max_batch_size", 0) == 0
    assert given["input"][0]["dims"] == [2, 3]


def test_a_batch_size_for_a_model_that_cannot_batch_is_refused() -> None:
    with pytest.raises(ConfigMismatchError, match="autofill failed for model 'm': model does not support batching"):
        complete({"name": "m", "max_batch_size": 8}, FIXED, 4)


def test_a_scalar_per_row_becomes_a_one_reshaped_to_nothing() -> None:
    given: dict[str, Any] = {"name": "m"}
    complete(given, signatures({"x": (-1,)}, {"y": (-1, 3)}), 4)
    assert given["input"][0] == {"name": "x", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}


@pytest.mark.parametrize(
    ("given", "found", "message"),
    [
        (config(), BATCHING, "configuration expects 0 inputs, model provides 1"),
        (
            config(tensor("z", 3), max_batch_size=4),
            BATCHING,
            "unexpected inference input 'z', allowed inputs are: x",
        ),
        (
            config(tensor("x", 4), max_batch_size=4),
            BATCHING,
            (
                "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,3]) but the model configuration "
                "specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the "
                "explicit tensor shape, making complete shape [-1,4])"
            ),
        ),
        (
            config(tensor("x", 2), output=[tensor("y", 3)]),
            FIXED,
            (
                "the model expects 2 dimensions (shape [2,3]) but the model configuration specifies 1 dimensions "
                "(shape [2])"
            ),
        ),
        (
            config(tensor("x", 3), max_batch_size=4),
            FIXED,
            (
                "for the model to support batching the shape should have at least 1 dimension and the first dimension "
                "must be -1; but shape expected by the model is [2,3]"
            ),
        ),
        (
            config({"name": "x", "data_type": "TYPE_INT32", "dims": [3]}, max_batch_size=4),
            BATCHING,
            "configuration expects datatype TYPE_INT32 for input 'x', model provides TYPE_FP32",
        ),
        (
            config(tensor("x", 3), max_batch_size=4, output=[tensor("z", 3)]),
            BATCHING,
            "unexpected inference output 'z', allowed outputs are: y",
        ),
        (
            config(tensor("x", 3), tensor("b", 1, optional=True), max_batch_size=4),
            signatures({"x": (-1, 3)}, {"y": (-1, 3)}, ("b",)),
            "optional input 'b' is not supported for models that support batching",
        ),
        (
            config(tensor("x", 2), output=[tensor("y", 3)]),
            signatures({"x": ()}, {"y": (3,)}),
            "scalar tensor 'x', should only provide 1 in the model configuration",
        ),
        (
            config(tensor("x", 3, allow_ragged_batch=True), max_batch_size=4),
            BATCHING,
            "configuration expects model provides input with shape [-1]  for ragged input 'x', model provides [-1,3]",
        ),
    ],
)
def test_a_mismatch_is_told_in_the_cpp_backends_words(given: dict[str, Any], found: Signatures, message: str) -> None:
    with pytest.raises(ConfigMismatchError) as error:
        validate(given, found)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (config(tensor("x", 3), max_batch_size=4), BATCHING),
        (config(tensor("x", -1), max_batch_size=4), signatures({"x": (-1, -1)}, {"y": (-1, 3)})),
        (config(tensor("x", 5), max_batch_size=4), signatures({"x": (-1, -1)}, {"y": (-1, 3)})),
        (config(tensor("x", 6, reshape={"shape": ["2", "3"]})), FIXED),
        (config(tensor("x", 1, reshape={"shape": []}), max_batch_size=4), signatures({"x": (-1,)}, {"y": (-1, 3)})),
        (config(tensor("x", 2, 3), tensor("b", 1, optional=True)), signatures({"x": (2, 3)}, {"y": (3,)}, ("b",))),
        (config(tensor("x", 1)), signatures({"x": ()}, {"y": (3,)})),
    ],
)
def test_what_fits_is_accepted(given: dict[str, Any], found: Signatures) -> None:
    validate(given, found)


def test_an_output_may_not_be_narrower_than_the_models() -> None:
    with pytest.raises(ConfigMismatchError, match="tensor 'y'"):
        validate(config(tensor("x", 3), max_batch_size=4), signatures({"x": (-1, 3)}, {"y": (-1, -1)}))


CONTROL = {"name": "START", "control": [{"kind": "CONTROL_SEQUENCE_START", "int32_false_true": [0, 1]}]}


def test_controls_and_states_count_as_inputs_and_are_checked() -> None:
    state = {"input_name": "s", "output_name": "t", "data_type": "TYPE_FP32", "dims": [2]}
    found = Signatures(
        inputs={
            "x": Signature("x", "TYPE_FP32", (-1, 3)),
            "s": Signature("s", "TYPE_FP32", (-1, 2)),
            "START": Signature("START", "TYPE_INT32", (-1, 1)),
        },
        outputs={"y": Signature("y", "TYPE_FP32", (-1, 3)), "t": Signature("t", "TYPE_FP32", (-1, 2))},
        initializers={},
    )
    given = config(tensor("x", 3), max_batch_size=4, sequence_batching={"control_input": [CONTROL], "state": [state]})
    validate(given, found)
    given["sequence_batching"]["state"] = [state | {"output_name": "u"}]
    with pytest.raises(ConfigMismatchError, match="unexpected inference output 'u', allowed outputs are: t, y"):
        validate(given, found)


@pytest.mark.parametrize(
    ("data_type", "shape", "message"),
    [
        ("TYPE_FP32", (-1, 1), "the model expects data-type TYPE_FP32 but the model configuration specifies"),
        ("TYPE_INT32", (-1, 2), r"sequence control 'START' in model has dims \[2\] but dims \[1\] is expected"),
    ],
)
def test_a_control_of_another_type_or_shape_is_refused(data_type: str, shape: tuple[int, ...], message: str) -> None:
    found = Signatures(
        {"x": Signature("x", "TYPE_FP32", (-1, 3)), "START": Signature("START", data_type, shape)},
        {"y": Signature("y", "TYPE_FP32", (-1, 3))},
        {},
    )
    with pytest.raises(ConfigMismatchError, match=message):
        validate(config(tensor("x", 3), max_batch_size=4, sequence_batching={"control_input": [CONTROL]}), found)
