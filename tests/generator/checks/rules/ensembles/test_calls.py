from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.repository.read import read_repository

Judge = Callable[..., list[Finding]]

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PYTHON = f'backend: "python"\n{TENSORS}'
DECOUPLED = f"{PYTHON}model_transaction_policy {{ decoupled: true }}"
OVER_B = f"""platform: "ensemble"
{TENSORS}ensemble_scheduling {{ step {{
  model_name: "b" model_version: -1 input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }}
}} }}"""


def calling(name: str, how: str = "exec()") -> dict[str, str]:
    code = (
        "import triton_python_backend_utils as pb\n\n\nclass TritonPythonModel:\n    def execute(self, requests):\n"
        f"        request = pb.InferenceRequest(model_name={name}, requested_output_names=['y'], inputs=[])\n"
        f"        return [request.{how} for _ in requests]\n"
    )
    return {"config.pbtxt": PYTHON, "1/model.py": code}


def test_a_call_of_a_model_that_is_not_there_is_told_at_its_line(judge_models: Judge) -> None:
    (found,) = judge_models({"m": calling("'othr'"), "other": PYTHON})
    assert (found.code, found.severity, found.place.line, found.place.column) == ("TS651", Severity.WARNING, 6, 19)
    assert found.place.file.endswith("m/1/model.py")
    assert found.message == "the model calls 'othr', which the repository does not hold. Did you mean 'other'?"


@pytest.mark.parametrize("name", ["'other'", "self.name", "f'{self.prefix}_llm'"])
def test_a_call_of_a_model_that_is_there_or_is_not_known_is_fine(judge_models: Judge, name: str) -> None:
    assert judge_models({"m": calling(name), "other": PYTHON}) == []


@pytest.mark.parametrize(
    ("lines", "is_told"),
    [
        ("NAME = 'gone'", True),
        ("NAME: str = 'gone'", True),
        ("NAME = 'other'", False),
        ("NAME = 'gone'\nNAME = 'other'", False),
        ("NAME = 'gone'\n\n\ndef choose(NAME):\n    return NAME", False),
        ("NAME = 'gone'\nfrom settings import NAME", False),
        ("NAME = 'gone' + ''", False),
    ],
)
def test_a_name_that_a_constant_holds_is_followed(judge_models: Judge, lines: str, is_told: bool) -> None:
    caller = calling("NAME")
    caller["1/model.py"] = f"{lines}\n{caller['1/model.py']}"
    findings = judge_models({"m": caller, "other": PYTHON})
    assert [found.code for found in findings] == ["TS651"] * is_told


def test_a_decoupled_model_is_called_as_one(judge_models: Judge) -> None:
    (found,) = judge_models({"m": calling("'d'"), "d": DECOUPLED})
    assert (found.code, found.severity, found.place.line) == ("TS653", Severity.WARNING, 6)
    assert judge_models({"m": calling("'d'", "exec(decoupled=True)"), "d": DECOUPLED}) == []


def test_models_that_call_one_another_in_a_circle_are_told(judge_models: Judge) -> None:
    (found,) = judge_models({"a": calling("'b'"), "b": calling("'c'"), "c": calling("'b'")})
    assert (found.code, found.severity) == ("TS652", Severity.WARNING)
    ways = [f"models call one another in a circle: {way}" for way in ("b -> c -> b", "c -> b -> c")]
    assert found.message in ways


def test_a_circle_may_go_through_an_ensemble(judge_models: Judge) -> None:
    (found,) = judge_models({"b": calling("'e'"), "e": OVER_B})
    assert (found.code, found.model) == ("TS652", "b")
    assert found.message == "models call one another in a circle: b -> e -> b"


def test_calls_that_the_spec_says_are_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(PYTHON)
    repository = replace(read_repository(tmp_path), settings={"calls": {"a": ["b"], "b": ["a"]}})
    assert "TS652" in {found.code for found in check_repository(Case(repository, Target()))}
