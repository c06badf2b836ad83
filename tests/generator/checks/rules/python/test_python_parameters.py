from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.fixes import SetField

Judge = Callable[..., list[Finding]]

MODEL = {"1/model.py": "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"}
HERE = "$$TRITON_MODEL_DIRECTORY"


def parameter(key: str, value: str, backend: str = "python") -> str:
    return f'backend: "{backend}"\nparameters {{\n  key: "{key}"\n  value {{ string_value: "{value}" }}\n}}\n'


@pytest.mark.parametrize("value", ["maybe", "Yes", "", "true"])
def test_a_third_value_of_force_cpu_is_refused(judge_files: Judge, value: str) -> None:
    findings = judge_files(MODEL, parameter("FORCE_CPU_ONLY_INPUT_TENSORS", value))
    assert [(finding.code, finding.place.line, finding.phase) for finding in findings] == [("TS870", 2, Phase.LOAD)]


def test_a_yes_in_capitals_can_be_mended(judge_files: Judge) -> None:
    findings = judge_files(MODEL, parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "NO"))
    assert findings[0].fix == SetField("parameters.FORCE_CPU_ONLY_INPUT_TENSORS.string_value", '"no"')


@pytest.mark.parametrize("value", ["yes", "no"])
def test_yes_and_no_are_fine(judge_files: Judge, value: str) -> None:
    assert judge_files(MODEL, parameter("FORCE_CPU_ONLY_INPUT_TENSORS", value)) == []


def test_other_backends_have_no_such_parameters(judge_files: Judge) -> None:
    assert judge_files(MODEL, parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "maybe", "other")) == []
    assert judge_files(MODEL, parameter("EXECUTION_ENV_PATH", "/nope/env.tar.gz", "other")) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("/nope/env.tar.gz", "TS871"),
        ("env.tar.gz", "TS871"),
        (f"{HERE}/env.tar.gz", "TS871"),
        (f"{HERE}/envs", "TS872"),
        (f"{HERE}/1", "TS872"),
        (f"{HERE}/1/model.py", "TS873"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told(judge_files: Judge, value: str, code: str) -> None:
    findings = judge_files({**MODEL, "envs/bin/python": ""}, parameter("EXECUTION_ENV_PATH", value))
    assert [(finding.code, finding.place.line, finding.phase) for finding in findings] == [(code, 2, Phase.LOAD)]


@pytest.mark.parametrize("value", [f"{HERE}/env.tar.gz", f"{HERE}/envs/one", f"{HERE}/../shared/env.tar.gz", "", "/"])
def test_an_environment_that_is_there_is_fine(judge_files: Judge, value: str) -> None:
    files = {**MODEL, "env.tar.gz": b"\x1f\x8b\x08", "envs/one/bin/activate": ""}
    findings = judge_files(files, parameter("EXECUTION_ENV_PATH", value))
    assert [finding.code for finding in findings] == (["TS872"] if value == "/" else [])


def test_a_path_of_another_machine_is_not_judged(judge_files: Judge, tmp_path: Path) -> None:
    assert judge_files(MODEL, parameter("EXECUTION_ENV_PATH", "/nope/env.tar.gz"), release="26.07") == []
    assert judge_files(MODEL, parameter("EXECUTION_ENV_PATH", str(tmp_path / "m/config.pbtxt"))) == []
