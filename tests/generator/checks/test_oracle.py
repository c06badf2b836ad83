"""Ours against the real server's verdict on 109 repositories (tritonserver 2.51, no GPU)."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.catalog.releases import EMBEDDED, RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.checks.verdict import Verdict, verdict_on
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.read import read_repository

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data" / "config_cases.json").read_text())
STUB = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""
VERDICTS = {"ok": Verdict.LOADS, "fail": Verdict.FAILS, "hang": Verdict.HANGS, "crash": Verdict.CRASHES}
# Notices of a load, not reasons why one fails.
NOTICES = ("unable to create stream for", "version 7 is specified for model")


def judged(case: dict[str, Any], mode: str, folder: Path) -> list[Finding]:
    for empty in case["empty_dirs"]:
        (folder / empty).mkdir(parents=True)
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STUB if text == "<stub model.py>" else text)
    target = Target(RELEASES[EMBEDDED], gpus=0, is_auto_complete=mode == "auto")
    return check_repository(Case(read_repository(folder), target))


def reasons(answer: dict[str, Any]) -> list[str]:
    return [line for line in answer["log"] if not any(notice in line for notice in NOTICES)]


def loaded(case: dict[str, Any]) -> list[str]:
    return [name.replace("%2B", "+") for name in case["load"]]


ANSWERS = [
    pytest.param(case, mode, answer, id=f"{case['case']}-{mode}")
    for case in CASES
    for mode, answer in case["server"].items()
]


@pytest.mark.parametrize(("case", "mode", "answer"), ANSWERS)
def test_the_verdict_is_the_servers(tmp_path: Path, case: dict[str, Any], mode: str, answer: dict[str, Any]) -> None:
    findings = judged(case, mode, tmp_path)
    for name in loaded(case):
        verdict = verdict_on(name, findings, is_auto_complete=mode == "auto")
        assert verdict is VERDICTS[answer["verdict"]], "\n".join(map(str, findings))


@pytest.mark.parametrize(("case", "mode", "answer"), ANSWERS)
def test_every_reason_of_the_server_is_one_of_ours(
    tmp_path: Path, case: dict[str, Any], mode: str, answer: dict[str, Any]
) -> None:
    checks = all_checks()
    codes = {finding.code for finding in judged(case, mode, tmp_path) if finding.phase}
    for line in reasons(answer):
        matching = {check.code for check in checks.values() if check.pattern and re.search(check.pattern, line)}
        assert len(matching) == 1, f"{matching} all match {line}"
        assert matching <= codes, f"{codes} lacks {matching}, which matches {line}"


def test_a_pattern_is_the_whole_message() -> None:
    version = all_checks()["TS201"]
    detail = "at least one version must be available under the version policy of model 'm'"
    assert re.search(version.pattern, f"model_repository_manager.cc:724] \"failed to load model 'm': {detail}\"")
    assert re.search(version.pattern, detail)
    chained = f"\"Invalid argument: ensemble 'e' depends on 'm' which has no loaded version: {detail}\""
    assert not re.search(version.pattern, chained)
    assert not re.search(replace(version, triton="at least one version").pattern, detail)
