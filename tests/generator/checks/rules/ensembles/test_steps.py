from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
TENSORS = INPUT + OUTPUT
PYTHON = f'backend: "python"\n{TENSORS}'
DECOUPLED = f"{PYTHON}model_transaction_policy {{ decoupled: true }}\n"
CODE = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
TWO_INPUTS = PYTHON + INPUT.replace('"x"', '"x2"')
TWO_OUTPUTS = TENSORS + OUTPUT.replace('"y"', '"y2"')


def step(inputs: str = "x:x", outputs: str = "y:y", model: str = "m", version: str = "model_version: -1") -> str:
    maps = [("input_map", pair) for pair in inputs.split()] + [("output_map", pair) for pair in outputs.split()]
    lines = [f'{name} {{ key: "{pair.split(":")[0]}" value: "{pair.split(":")[1]}" }}' for name, pair in maps]
    return "\n".join([f'model_name: "{model}" {version}', *lines])


def ensemble(*steps: str, tensors: str = TENSORS) -> str:
    text = "".join(f"step {{ {one} }}\n" for one in steps)
    return f'platform: "ensemble"\n{tensors}ensemble_scheduling {{\n{text}}}\n'


@pytest.mark.parametrize(
    ("config", "model", "code", "line", "message"),
    [
        (ensemble(step(version="")), PYTHON, "TS630", 5, "asks for version 0: omitted, it is 0 and not the latest"),
        (ensemble(step(version="model_version: 9")), PYTHON, "TS630", 5, "asks for version 9; loaded is 1"),
        (ensemble(step()) + "max_batch_size: 9", f"{PYTHON}max_batch_size: 8", "TS631", 9, "the step 'm' takes 8"),
        (ensemble(step("x:x q:x")), PYTHON, "TS632", 7, "model 'm' has no input 'q'"),
        (ensemble(step()), TWO_INPUTS, "TS633", 6, "input 'x2' of model 'm' is not mapped"),
        (ensemble(step(outputs="z:y")), PYTHON, "TS634", 7, "model 'm' has no output 'z'"),
        (ensemble(step()), PYTHON + OUTPUT, "TS635", 7, "model 'm' declares output 'y' 2 times"),
        (
            ensemble(step(), tensors=TENSORS.replace("FP32", "INT8", 1)),
            PYTHON,
            "TS636",
            6,
            "tensor 'x': the ensemble's input 'x' is INT8 [4], input 'x' of 'm' is FP32 [4]",
        ),
        (
            ensemble(step(outputs="y:t"), step("x:t")),
            PYTHON.replace("[4]", "[5]", 1),
            "TS637",
            6,
            "tensor 'x': the ensemble's input 'x' is FP32 [4], input 'x' of 'm' is FP32 [5]",
        ),
        (
            ensemble(step(), tensors=TENSORS.replace("[4]", "[-1, -1]", 1)),
            PYTHON,
            "TS637",
            6,
            "the ensemble's input 'x' is FP32 [-1,-1], input 'x' of 'm' is FP32 [4]",
        ),
    ],
)
def test_an_ensemble_that_contradicts_its_step_does_not_load(
    judge_models: Judge, config: str, model: str, code: str, line: int, message: str
) -> None:
    found = next(found for found in judge_models({"m": model, "e": config}) if found.model == "e")
    assert (found.code, found.place.line, found.phase) == (code, line, Phase.LOAD)
    assert message in found.message


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (ensemble(step()), PYTHON + INPUT.replace('"x"', '"x2"').replace("}", "optional: true }")),
        (ensemble(step()), PYTHON + OUTPUT.replace('"y"', '"y2"')),  # an output that is not mapped is dropped
        (ensemble(step()), PYTHON.replace("[4]", "[-1]")),
        (ensemble(step(), tensors=TENSORS.replace("[4]", "[-1, 4]")), f"{PYTHON}max_batch_size: 8"),
        (ensemble(step()), f"{PYTHON}max_batch_size: 8"),  # Triton makes each request a batch of 1
        (ensemble(step()) + "max_batch_size: 8", PYTHON.replace("[4]", "[-1, 4]")),
        (ensemble(step()) + "max_batch_size: 8", f"{PYTHON}max_batch_size: 8"),
        (ensemble(step(), tensors=TENSORS.replace("[4]", "[2, 2] reshape { shape: [4] }", 1)), PYTHON),
    ],
)
def test_an_ensemble_that_agrees_with_its_step_is_fine(judge_models: Judge, config: str, model: str) -> None:
    assert judge_models({"m": model, "e": config}) == []


def test_a_reshape_of_the_step_is_not_looked_at(judge_models: Judge) -> None:
    model = PYTHON.replace("[4]", "[2, 2] reshape { shape: [4] }", 1)
    assert [found.code for found in judge_models({"m": model, "e": ensemble(step())})] == ["TS637"]


def test_a_version_that_the_policy_loads_can_be_asked_for(judge_models: Judge) -> None:
    model = {"config.pbtxt": f"{PYTHON}version_policy {{ all {{}} }}", "1/model.py": CODE, "0/model.py": CODE}
    assert judge_models({"m": model, "e": ensemble(step(version=""))}) == []
    latest = {**model, "config.pbtxt": PYTHON}
    (found,) = judge_models({"m": latest, "e": ensemble(step(version=""))})
    assert found.code == "TS630"


def test_a_step_whose_tensors_its_own_code_adds_is_not_judged(judge_models: Judge) -> None:
    code = (
        "class TritonPythonModel:\n    @staticmethod\n    def auto_complete_config(config):\n        return f(config)\n"
    )
    model = {"config.pbtxt": 'backend: "python"', "1/model.py": code}
    assert judge_models({"m": model, "e": ensemble(step())}) == []
    found = judge_models({"m": model, "e": ensemble(step())}, is_auto_complete=False)
    assert [one.code for one in found] == ["TS632", "TS634"]


@pytest.mark.parametrize(
    ("steps", "tensors"),
    [
        ([step(outputs="y:t", model="d"), step("x:t x2:x", model="j")], TENSORS),
        (
            [step(outputs="y:t", model="d"), step(outputs="y:u", model="d"), step("x:t x2:u", model="j")],
            TENSORS,
        ),
        (
            [step(outputs="y:t", model="d"), step("x:t", "y:u", model="d"), step("x:t x2:u", model="j")],
            TENSORS,
        ),
        ([step(outputs="y:t", model="f"), step("x:t x2:x", model="j")], TENSORS),  # f is an ensemble over d
        ([step(model="d"), step(outputs="y:y2")], TWO_OUTPUTS),
    ],
)
def test_streams_do_not_meet_other_tensors(judge_models: Judge, steps: list[str], tensors: str) -> None:
    models = {"m": PYTHON, "d": DECOUPLED, "j": TWO_INPUTS, "f": ensemble(step(model="d"))}
    findings = judge_models({**models, "e": ensemble(*steps, tensors=tensors)})
    assert [(one.code, one.model) for one in findings if one.severity is Severity.ERROR] == [("TS638", "e")]


@pytest.mark.parametrize(
    ("steps", "tensors"),
    [
        ([step(outputs="y:t", model="d"), step("x:t x2:t", model="j")], TENSORS),
        ([step(outputs="y:t", model="d"), step("x:t", model="d")], TENSORS),
        ([step(model="d"), step("x:y", "y:y2")], TWO_OUTPUTS),
        ([step(outputs="y:t"), step("x:t x2:x", model="j")], TENSORS),
    ],
)
def test_one_stream_may_be_read_as_often_as_wanted(judge_models: Judge, steps: list[str], tensors: str) -> None:
    models = {"m": PYTHON, "d": DECOUPLED, "j": TWO_INPUTS}
    findings = judge_models({**models, "e": ensemble(*steps, tensors=tensors)})
    assert [one.code for one in findings if one.severity is not Severity.NOTE] == []


@pytest.mark.parametrize(
    ("config", "model", "message"),
    [
        (ensemble(step()) + "max_batch_size: 8", PYTHON, "requests of any other batch size than 1 fail"),
        (ensemble(step()) + "max_batch_size: 8", PYTHON.replace("[4]", "[2, 4]"), "any other batch size than 2 fail"),
        (
            ensemble(step(), tensors=TENSORS.replace("[4]", "[16, 4]")),
            f"{PYTHON}max_batch_size: 8",
            "tensor 'x' has 16 rows; input 'x' of 'm' takes batches of at most 8: all requests fail",
        ),
    ],
)
def test_a_batch_that_a_step_cannot_take_fails_at_requests(
    judge_models: Judge, config: str, model: str, message: str
) -> None:
    (found,) = judge_models({"m": model, "e": config})
    assert (found.code, found.place.line, found.phase) == ("TS639", 6, Phase.REQUEST)
    assert message in found.message


def test_a_batch_of_one_passes_through_a_step_that_does_not_batch(judge_models: Judge) -> None:
    assert judge_models({"m": PYTHON, "e": ensemble(step()) + "max_batch_size: 1"}) == []


def test_responses_that_pile_up_before_a_step_are_noted(judge_models: Judge) -> None:
    models = {"d": DECOUPLED, "m": PYTHON, "e": ensemble(step(outputs="y:t", model="d"), step("x:t"))}
    (found,) = judge_models(models)
    assert (found.code, found.severity) == ("TS640", Severity.NOTE)
    assert "Triton 25.11 or newer" in found.remedy
    bounded = models["e"].replace("ensemble_scheduling {", "ensemble_scheduling { max_inflight_requests: 8")
    assert judge_models({**models, "e": bounded}, release="25.11") == []


def test_a_full_queue_of_a_step_is_told_before_26_03(judge_models: Judge) -> None:
    queue = "max_batch_size: 4 dynamic_batching { default_queue_policy { max_queue_size: 8 } }"
    models = {"m": PYTHON + queue, "e": ensemble(step()) + "max_batch_size: 4"}
    (found,) = judge_models(models)
    assert (found.code, found.severity) == ("TS641", Severity.WARNING)
    assert judge_models(models, release="26.03") == []
