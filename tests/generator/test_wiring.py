from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import NOWHERE, Finding
from tritonsmith.generator.spec.document import Step
from tritonsmith.generator.wiring import Wiring, merge_shapes, wire


def model(batch: int, inputs: str, outputs: str) -> ModelConfig:
    """Write a model from `x:FP32[4] y:INT64[-1]?` (? marks an optional input)."""
    config = ModelConfig(max_batch_size=batch)
    for kind, text in (("input", inputs), ("output", outputs)):
        for item in text.split():
            name, _, rest = item.partition(":")
            data_type, _, dims = rest.rstrip("?").partition("[")
            optional = " optional: true" if item.endswith("?") else ""
            field = f'{kind} {{ name: "{name}" data_type: TYPE_{data_type} dims: [{dims}{optional} }}'
            text_format.Merge(field, config)
    return config


MODELS = {
    "a": model(8, "x:FP32[4]", "y:FP32[4]"),
    "b": model(4, "y:FP32[-1]", "z:FP32[2] spare:INT64[1]"),
    "back": model(4, "z:FP32[2]", "x:FP32[4]"),
    "typed": model(4, "y:INT64[4]", "z:FP32[2]"),
    "shaped": model(4, "y:FP32[5]", "z:FP32[2]"),
    "flat": model(0, "y:FP32[4]", "z:FP32[4]"),
    "full": model(0, "y:FP32[-1,4]", "z:FP32[-1,2]"),
    "fixed": model(0, "y:FP32[1,4]", "z:FP32[1,2]"),
    "after": model(4, "spare:INT64[1]", "end:FP32[2]"),
    "wants_int": model(4, "x:INT32[4]", "other:FP32[2]"),
    "asks": model(4, "y:FP32[4] hint:INT32[1]?", "z:FP32[2]"),
}


def wired(*steps: Any, **options: Any) -> tuple[Wiring | None, list[str]]:
    findings: list[Finding] = []
    given = [Step(step, NOWHERE) if isinstance(step, str) else step for step in steps]
    return wire(given, MODELS, key="e", findings=findings, **options), [finding.message for finding in findings]


def test_bare_names_are_wired_by_tensor_name() -> None:
    wiring, _ = wired("a", "b")
    assert wiring is not None
    assert [step.input_map for step in wiring.steps] == [{"x": "x"}, {"y": "y"}]
    assert [tensor.name for tensor in wiring.inputs] == ["x"]
    assert [tensor.name for tensor in wiring.outputs] == ["z", "spare"]
    assert wiring.max_batch_size == 4


def test_a_tensor_has_the_narrower_shape_of_its_two_ends() -> None:
    wiring, _ = wired("a", "b")
    assert wiring is not None
    assert wiring.tensors["y"].shape == (-1, 4)


def test_declared_outputs_leave_the_others_unmapped() -> None:
    wiring, _ = wired("a", "b", outputs=["z"])
    assert wiring is not None
    assert wiring.steps[1].output_map == {"z": "z"}  # Triton refuses an ensemble tensor that is unused


def test_an_exposed_tensor_becomes_an_output_too() -> None:
    wiring, _ = wired("a", "b", expose=["y"])
    assert wiring is not None
    assert [tensor.name for tensor in wiring.outputs] == ["z", "spare", "y"]


def test_a_map_renames_and_the_rest_goes_by_name() -> None:
    step = Step("b", NOWHERE, input_map={"y": "features"}, output_map={"z": "score"})
    wiring, _ = wired(Step("a", NOWHERE, output_map={"y": "features"}), step)
    assert wiring is not None
    assert wiring.steps[1].output_map == {"z": "score"}
    assert [tensor.name for tensor in wiring.outputs] == ["score"]


def test_an_optional_input_is_left_out_unless_something_provides_it() -> None:
    without, _ = wired("a", "asks")
    declared, _ = wired("a", "asks", inputs=["hint"])
    assert without is not None
    assert declared is not None
    assert without.steps[1].input_map == {"y": "y"}
    assert declared.steps[1].input_map == {"y": "y", "hint": "hint"}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("a", "a"), "two steps write the tensor 'y': 'a' and 'a'"),
        (("a", "b", "back"), "steps wait for one another: a -> b -> back -> a (through y, z, x)"),
        (("b", "a", "back", "after"), "steps wait for one another: b -> back -> a -> b (through z, x, y)"),
        ((Step("b", NOWHERE, output_map={"z": "t", "spare": "t"}),), "two outputs of 'b' write the tensor 't'"),
        (("a", "wants_int"), "tensor 'x' is FP32 [-1,4] from the request, for another step, but input 'x' of "),
        (("a", "typed"), "tensor 'y' is FP32 [-1,4] from 'a', but input 'y' of 'typed' takes INT64 [-1,4]"),
        (("a", "shaped"), "tensor 'y' is FP32 [-1,4] from 'a', but input 'y' of 'shaped' takes FP32 [-1,5]"),
        (("a", "flat"), "tensor 'y' is FP32 [-1,4] from 'a', but input 'y' of 'flat' takes FP32 [4]"),
        ((Step("a", NOWHERE, input_map={"xx": "x"}),), "model 'a' has no input 'xx'. Did you mean 'x'?"),
        ((Step("a", NOWHERE, output_map={"q": "x"}),), "model 'a' has no output 'q'."),
    ],
)
def test_what_cannot_be_wired_is_told(steps: tuple[Any, ...], message: str) -> None:
    wiring, messages = wired(*steps)
    assert wiring is None
    assert messages[0].startswith(message)
    assert len(messages) == 1


def test_an_output_that_no_step_writes_is_told() -> None:
    assert wired("a", outputs=["yy"])[1] == ["no step writes the output 'yy'. Did you mean 'y'?"]


def test_a_step_that_does_not_batch_must_have_the_batch_axis_in_its_dims() -> None:
    wiring, _ = wired("a", "full")
    assert wiring is not None
    assert wiring.max_batch_size == 8


def test_an_ensemble_whose_boundary_has_no_batch_axis_does_not_batch() -> None:
    wiring, _ = wired("a", "fixed")
    assert wiring is not None
    assert wiring.max_batch_size == 0


def test_a_step_that_does_not_say_its_tensors_cannot_be_wired() -> None:
    models = {**MODELS, "silent": model(4, "", "")}
    findings: list[Finding] = []
    assert wire([Step("silent", NOWHERE)], models, key="e", findings=findings) is None
    assert findings[0].message == "the step's model 'silent' does not say its inputs and outputs"


@pytest.mark.parametrize("lacking", ["data_type", "dims"])
def test_a_step_whose_tensor_lacks_its_type_or_dims_cannot_be_wired(lacking: str) -> None:
    config = model(4, "x:FP32[4]", "y:FP32[4]")
    config.output[0].ClearField(lacking)  # type: ignore[arg-type]
    findings: list[Finding] = []
    assert wire([Step("a", NOWHERE)], {"a": config}, key="e", findings=findings) is None
    assert "data_type and dims of each" in findings[0].remedy


def test_everything_wrong_with_the_wiring_of_one_stage_is_told_at_once() -> None:
    _, messages = wired("a", "typed", Step("shaped", NOWHERE, output_map={"z": "q"}), outputs=["nothing"])
    assert [message[:24] for message in messages] == [
        "tensor 'y' is FP32 [-1,4",
        "tensor 'y' is FP32 [-1,4",
        "no step writes the outpu",
    ]


def test_shapes_agree_where_either_is_dynamic() -> None:
    assert merge_shapes((-1, 4), (2, -1)) == (2, 4)
    assert merge_shapes((3,), (4,)) is None
    assert merge_shapes((3,), (3, 1)) is None
