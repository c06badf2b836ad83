import re
from collections.abc import Callable

import pytest

from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.checks.verdict import Verdict, verdict_on
from tritonsmith.generator.findings import Finding

Judge = Callable[..., list[Finding]]

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PYTHON = f'backend: "python"\n{TENSORS}'
ALL = ("TS",)


def over(*models: str) -> str:
    names = ["x", *(f"t{index}" for index in range(1, len(models))), "y"]
    steps = "".join(
        f'step {{ model_name: "{model}" model_version: -1\n input_map {{ key: "x" value: "{names[index]}" }}\n'
        f' output_map {{ key: "y" value: "{names[index + 1]}" }} }}\n'
        for index, model in enumerate(models)
    )
    return f'platform: "ensemble"\n{TENSORS}ensemble_scheduling {{\n{steps}}}\n'


MODELS: dict[str, str | dict[str, str]] = {
    "fine": PYTHON,
    "refused": f"{PYTHON}max_batch_size: -1",
    "broken": "max_batch_siz: 1",
    "unloaded": f"{PYTHON}instance_group {{ kind: KIND_GPU }}",
    "hanging": {"config.pbtxt": PYTHON, "1/other.py": ""},
    "crashing": f'platform: "tensorrt_plan"\n{TENSORS}instance_group {{ profile: "99999999999" }}',
}


def verdicts(judge_models: Judge, **ensembles: str) -> tuple[dict[str, Verdict], set[tuple[str, str]]]:
    findings = judge_models({**MODELS, **ensembles}, ALL)
    codes = {(found.model, found.code) for found in findings if found.model in ensembles and found.phase}
    return {name: verdict_on(name, findings) for name in ensembles}, codes


@pytest.mark.parametrize(
    ("step", "code", "verdict"),
    [
        ("absent", "TS620", Verdict.FAILS),
        ("refused", "TS620", Verdict.FAILS),
        ("broken", "TS620", Verdict.FAILS),
        ("e", "TS621", Verdict.FAILS),
        ("unloaded", "TS623", Verdict.FAILS),
        ("hanging", "TS625", Verdict.HANGS),
        ("crashing", "TS626", Verdict.CRASHES),
    ],
)
def test_an_ensemble_ends_as_its_step_does(judge_models: Judge, step: str, code: str, verdict: Verdict) -> None:
    judged, codes = verdicts(judge_models, e=over("fine", step))
    assert (judged, codes) == ({"e": verdict}, {("e", code)})


@pytest.mark.parametrize(
    ("step", "codes", "verdict"),
    [
        ("absent", ("TS620", "TS624"), Verdict.FAILS),
        ("unloaded", ("TS623", "TS624"), Verdict.FAILS),
        ("hanging", ("TS625", "TS625"), Verdict.HANGS),
        ("crashing", ("TS626", "TS626"), Verdict.CRASHES),
    ],
)
def test_an_ensemble_over_an_ensemble_ends_as_that_does(
    judge_models: Judge, step: str, codes: tuple[str, str], verdict: Verdict
) -> None:
    judged, found = verdicts(judge_models, lower=over(step), upper=over("lower"))
    assert judged == {"lower": verdict, "upper": verdict}
    assert found == {("lower", codes[0]), ("upper", codes[1])}


def test_an_ensemble_that_is_refused_at_poll_is_as_good_as_absent(judge_models: Judge) -> None:
    judged, codes = verdicts(judge_models, lower=over("fine") + "optimization {}", upper=over("lower"))
    assert set(judged.values()) == {Verdict.FAILS}
    assert codes == {("lower", "TS605"), ("upper", "TS620")}


def test_a_step_without_versions_is_not_loaded(judge_models: Judge) -> None:
    models = {"lower": {"config.pbtxt": over("fine")}, "upper": over("lower"), "fine": PYTHON}
    found = {(one.model, one.code) for one in judge_models(models, ALL) if one.phase}
    assert found == {("lower", "TS201"), ("upper", "TS623")}


@pytest.mark.parametrize("step", ["hanging", "absent"])
def test_a_step_that_hangs_comes_before_what_an_ensemble_contradicts(judge_models: Judge, step: str) -> None:
    wrong = over("hanging", step).replace("TYPE_FP32", "TYPE_INT8", 1)
    judged, codes = verdicts(judge_models, e=wrong)
    assert judged == {"e": Verdict.HANGS}
    assert ("e", "TS636") in codes


def test_a_circle_of_ensembles_is_refused_and_what_stands_on_it_ends_the_server(judge_models: Judge) -> None:
    judged, codes = verdicts(judge_models, a=over("b"), b=over("a"), e=over("a"), f=over("e"))
    assert judged == {"a": Verdict.FAILS, "b": Verdict.FAILS, "e": Verdict.CRASHES, "f": Verdict.CRASHES}
    assert codes == {("a", "TS621"), ("b", "TS621"), ("e", "TS622"), ("f", "TS622")}


def test_an_ensemble_that_lacks_a_step_is_not_searched_for_circles(judge_models: Judge) -> None:
    judged, codes = verdicts(judge_models, a=over("b"), b=over("a"), e=over("a", "absent"))
    assert judged["e"] is Verdict.FAILS
    assert {code for name, code in codes if name == "e"} == {"TS620"}
    judged, codes = verdicts(judge_models, a=over("b", "absent"), b=over("a"), e=over("fine"))
    assert {(name, code) for name, code in codes if name in "ab"} == {("a", "TS620"), ("b", "TS621")}


def test_what_is_wrong_with_a_step_is_told_with_its_place(judge_models: Judge) -> None:
    findings = judge_models({**MODELS, "e": over("fine", "unloaded")})
    found = next(one for one in findings if one.code == "TS623")
    assert found.place.line == 8
    assert found.message == (
        "the step's model 'unloaded' does not load: the group asks for KIND_GPU; the target has no GPU"
    )
    assert found.remedy.startswith("see TS501 at ")


def test_a_name_that_is_nearly_a_models_draws_a_suggestion(judge_models: Judge) -> None:
    (found,) = judge_models({"fine": PYTHON, "e": over("fin")})
    assert found.message.endswith("which the repository does not hold. Did you mean 'fine'?")


NO_GPU = "instance group m_0 of model m has kind KIND_GPU but no GPUs are available"
UNLOADED = f"version 1 is at UNAVAILABLE state: Invalid argument: {NO_GPU};"
CHAIN = f"ensemble 'f' depends on 'm' which has no loaded version. Model 'm' loading failed with error: {UNLOADED}"


LIMITED = (
    r"Resource count for \"R1\" is limited to 3 which will prevent scheduling of one or more model instances, the "
    "minimum required count is 4"
)
BOTH = r"Resource \"R1\" is present as both global and device-specific resource in the model configuration."
NOT_VALID = f"ensemble 'e' depends on 'f' which is not valid. Model 'f' failed with error: {CHAIN}"
NOT_FOUND = "failed to poll model 'z': model not found in any model repository."


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("TS501", f"model_lifecycle.cc:642] \"failed to load 'm' version 1: Invalid argument: {NO_GPU}\""),
        ("TS501", f"load failed for model 'm': {UNLOADED}"),
        ("TS506", "\"failed to load 'm' version 1: Invalid argument: unable to parse 'a': stoi\""),
        ("TS521", f"\"failed to load 'a' version 1: Invalid argument: {LIMITED}\""),
        ("TS522", f"\"failed to load 'b' version 1: Invalid argument: {BOTH}\""),
        ("TS620", f'model_repository_manager.cc:1415] "{NOT_FOUND}"'),
        ("TS623", f'model_repository_manager.cc:703] "Invalid argument: {CHAIN}"'),
        ("TS623", f'model_repository_manager.cc:703] "Invalid argument: {CHAIN}{UNLOADED.replace("1", "2", 1)}"'),
        ("TS624", f'model_repository_manager.cc:703] "Invalid argument: {NOT_VALID}"'),
    ],
)
def test_each_line_of_the_servers_log_is_one_rules(code: str, line: str) -> None:
    assert [one.code for one in all_checks().values() if one.pattern and re.search(one.pattern, line)] == [code]


def test_an_ensemble_is_not_offered_as_its_own_step(judge_models: Judge) -> None:
    (finding,) = judge_models({"digits": over("digit"), "fine": PYTHON}, ("TS620",))
    assert "Did you mean" not in finding.message
