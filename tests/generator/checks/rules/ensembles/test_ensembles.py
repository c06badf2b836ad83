from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PYTHON = f'backend: "python"\n{INPUT}{OUTPUT}'


def step(inputs: str = "x:x", outputs: str = "y:y", model: str = "m") -> str:
    maps = [("input_map", pair) for pair in inputs.split()] + [("output_map", pair) for pair in outputs.split()]
    lines = [f'{name} {{ key: "{pair.split(":")[0]}" value: "{pair.split(":")[1]}" }}' for name, pair in maps]
    return "\n".join([f'model_name: "{model}" model_version: -1', *lines])


def ensemble(*steps: str, tensors: str = INPUT + OUTPUT) -> str:
    text = "".join(f"step {{ {one} }}\n" for one in steps)
    return f'platform: "ensemble"\n{tensors}ensemble_scheduling {{\n{text}}}\n'


@pytest.mark.parametrize(
    ("config", "code", "line", "message"),
    [
        (f'platform: "ensemble"\n{INPUT}{OUTPUT}', "TS601", 1, "ensemble_scheduling is missing"),
        (ensemble(step()).replace('platform: "ensemble"', 'backend: "python"'), "TS602", 4, "its platform is ''"),
        (ensemble(step()).replace('platform: "ensemble"', 'backend: "ensemble"'), "TS602", 4, "its platform is ''"),
        (ensemble(step()) + 'backend: "python"', "TS603", 9, "an ensemble has no backend, this one has 'python'"),
        (ensemble(step()) + "instance_group { count: 1 }", "TS604", 9, "an ensemble has no instance_group"),
        (ensemble(step()) + "optimization {}", "TS605", 9, "an ensemble has no optimization"),
        (ensemble(step()) + 'model_warmup { name: "w" }', "TS606", 9, "an ensemble has no model_warmup"),
        (ensemble(), "TS607", 4, "the ensemble has no step"),
        (ensemble(step(model="")), "TS608", 5, "the step names no model"),
        (ensemble(step(inputs="")), "TS609", 5, "the step of 'm' maps no input"),
        (ensemble(step(), step(outputs="")), "TS610", 8, "the step of 'm' maps no output"),
    ],
)
def test_an_ensemble_has_what_it_must_have_and_no_more(
    judge_models: Judge, config: str, code: str, line: int, message: str
) -> None:
    findings = [found for found in judge_models({"m": PYTHON, "e": config}) if found.code < "TS611"]
    assert [(found.code, found.place.line, found.phase) for found in findings] == [(code, line, Phase.LOAD)]
    assert message in findings[0].message


@pytest.mark.parametrize(
    ("config", "code", "line", "message"),
    [
        (
            ensemble(step(), step()),
            "TS611",
            10,
            "tensor 'y' is written by output 'y' of 'm', and was already by 'y' of 'm'",
        ),
        (ensemble(step(), tensors=INPUT * 2 + OUTPUT).replace('"x"', '"z"', 1), "TS612", 2, "reads the input 'z'"),
        (ensemble(step(), tensors=INPUT + OUTPUT * 2).replace('"y"', '"z"', 1), "TS613", 3, "writes the output 'z'"),
        (ensemble(step("x:x x2:y", "y:q")), "TS614", 3, "the output 'y' is never written: steps only read it"),
        (ensemble(step("x:x x2:y")), "TS614", 3, "the step that writes it waits for it"),
        (ensemble(step("x:x x2:t")), "TS615", 3, "the output 'y' is never written: nothing writes 't'"),
        (
            ensemble(step("x:x x2:t"), step("x:u", "y:t"), step("x:t", "y:u")),
            "TS615",
            3,
            "waits for itself",
        ),
        (ensemble(step(), step("x:t", "y:u")), "TS616", 9, "nothing writes 't'"),
        (ensemble(step(), step("x:u", "y:t"), step("x:t", "y:u")), "TS616", 12, "waits for itself"),
        (ensemble(step(outputs="y:y z:dead")), "TS616", 8, "nobody reads tensor 'dead'"),
    ],
)
def test_the_maps_of_an_ensemble_make_a_graph(
    judge_models: Judge, config: str, code: str, line: int, message: str
) -> None:
    findings = [found for found in judge_models({"m": PYTHON, "e": config}) if "TS611" <= found.code < "TS620"]
    assert [(found.code, found.place.line, found.phase) for found in findings] == [(code, line, Phase.LOAD)]
    assert message in findings[0].message


@pytest.mark.parametrize(
    "config",
    [
        ensemble(step()),
        ensemble(step("x:t", "y:y"), step("x:x", "y:t")),  # in any order
        ensemble(step(outputs="y:y"), step("x:y", "y:u"), tensors=INPUT + OUTPUT + OUTPUT.replace('"y"', '"u"')),
        ensemble(step("x:x x2:x")),  # one tensor for two inputs
        ensemble(step("x:x", "y:x"), tensors=INPUT + OUTPUT.replace('"y"', '"x"')),  # the input, overwritten
    ],
)
def test_a_graph_in_which_all_is_written_and_read_is_fine(judge_models: Judge, config: str) -> None:
    model = PYTHON.replace(INPUT, INPUT + INPUT.replace('"x"', '"x2"').replace("}", "optional: true }"))
    assert judge_models({"m": model, "e": config}) == []


@pytest.mark.parametrize(
    ("maps", "line"),
    [
        ('input_map { key: "x" value: "q" }\n input_map { key: "x" value: "x" }', 6),
        ('input_map [ { key: "x" value: "q" },\n { key: \'x\' value: "x" } ]', 6),
    ],
)
def test_a_key_that_is_mapped_twice_is_told(judge_models: Judge, maps: str, line: int) -> None:
    config = ensemble(f'model_name: "m" model_version: -1 {maps} output_map {{ key: "y" value: "y" }} # key: key:\n')
    (found,) = judge_models({"m": PYTHON, "e": config})
    assert (found.code, found.severity, found.place.line) == ("TS617", Severity.WARNING, line)
    assert found.message == "'x' is mapped twice; the last mapping counts"


def test_the_same_key_in_two_steps_is_no_repetition(judge_models: Judge) -> None:
    steps = f"{{ {step('x:x', 'y:t')} }}, {{ {step('x:t', 'y:y')} }}"
    config = f'platform: "ensemble" {INPUT}{OUTPUT}ensemble_scheduling {{ step [ {steps} ] }}'
    more = 'parameters { key: "x" value { string_value: "key key key key" } }'
    assert judge_models({"m": PYTHON, "e": config + more}) == []
