from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.spec.settings import Server

Judge = Callable[..., list[Finding]]

PLAIN = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
CACHED = f"{PLAIN}response_cache {{ enable: true }}\n"
DECOUPLED = "model_transaction_policy { decoupled: true }\n"
ENSEMBLE = f"""{CACHED.replace('backend: "python"', 'platform: "ensemble"')}
ensemble_scheduling {{ step {{
  model_name: "s" model_version: -1 input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }}
}} }}"""


@pytest.mark.parametrize(("config", "code"), [("sequence_batching {}", "TS451"), (DECOUPLED, "TS452")])
def test_responses_that_are_more_than_one_answer_are_not_cached(judge: Judge, config: str, code: str) -> None:
    errors = [(found.code, found.place.line) for found in judge(CACHED + config) if found.phase]
    assert errors == [(code, 4)]
    assert judge(CACHED.replace("true", "false") + config) == []
    assert {found.severity for found in judge(CACHED)} == {Severity.NOTE}  # the server needs a cache, too


def two_models(folder: Path, step: str) -> list[str]:
    for name, config in (("e", ENSEMBLE), ("s", step)):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
    (folder / "s" / "1" / "model.py").write_text("class TritonPythonModel:\n    def execute(self, r):\n        ...\n")
    return [found.code for found in check_repository(Case(read_repository(folder), Target())) if found.model == "e"]


def test_an_ensemble_with_a_decoupled_step_is_decoupled(tmp_path: Path) -> None:
    assert "TS452" in two_models(tmp_path / "decoupled", PLAIN + DECOUPLED)
    assert "TS452" not in two_models(tmp_path / "plain", PLAIN)


def test_a_cache_is_the_servers_too(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.py").write_text("class TritonPythonModel:\n    def execute(self, r):\n        ...\n")
    (tmp_path / "m" / "config.pbtxt").write_text(CACHED)
    repository = read_repository(tmp_path)
    without = Target(server=Server())
    with_cache = Target(server=Server.model_validate({"response_cache": {}}))
    codes = [
        [(found.code, found.severity) for found in check_repository(Case(repository, target)) if "TS45" in found.code]
        for target in (without, with_cache, Target())
    ]
    assert codes == [[("TS453", Severity.WARNING)], [], [("TS453", Severity.NOTE)]]


FAMILY = 'metric_identifier { family: "nv_inference_first_response_histogram_ms" }'
BUCKETS = "histogram_options { buckets: [1, 2] }"


@pytest.mark.parametrize(
    ("control", "codes"),
    [
        (f"{FAMILY} {BUCKETS}", []),
        (BUCKETS, ["TS461"]),
        (f"metric_identifier {{}} {BUCKETS}", ["TS462"]),
        (FAMILY, ["TS463"]),
        (f"{FAMILY} histogram_options {{}}", ["TS464"]),
        (f'metric_identifier {{ family: "nv_x" }} {BUCKETS}', ["TS465"]),
    ],
)
def test_a_metric_control_says_what_changes(judge: Judge, control: str, codes: list[str]) -> None:
    config = f"{PLAIN}model_metrics {{ metric_control {{ {control} }} }}"
    assert [found.code for found in judge(config, release="25.05")] == codes
