"""Our verdict beside the server's, asked now: on the oracle's repositories, our own examples, and what breaks it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.backends.checking import Asked, Question, ask
from tritonsmith.backends.live_check.answer import Answer
from tritonsmith.backends.live_check.compare import Comparison, matching_codes
from tritonsmith.backends.live_check.live import LiveReport, check_live
from tritonsmith.backends.live_check.show import as_json, as_text
from tritonsmith.generator.catalog.releases import EMBEDDED, FIELDS_SINCE, RELEASES
from tritonsmith.generator.catalog.tensorrtllm.versions import OLDEST, parse_version
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.checks.verdict import Verdict
from tritonsmith.generator.findings import Phase, error
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.read import read_repository

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
CASES: list[dict[str, Any]] = json.loads((ROOT / "tests" / "data" / "config_cases.json").read_text())
STUB = """
class TritonPythonModel:
    def execute(self, requests):
        return []
"""
VERDICTS = {"ok": Verdict.LOADS, "fail": Verdict.FAILS, "hang": Verdict.HANGS, "crash": Verdict.CRASHES}
ASKED = [(case, mode) for case in CASES for mode in case["server"]]
WIDTH = 4  # loads wait for processes more than for the processor

WriteModel = Callable[..., Path]


def write_case(case: dict[str, Any], folder: Path) -> None:
    for empty in case["empty_dirs"]:
        (folder / empty).mkdir(parents=True)
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STUB if text == "<stub model.py>" else text)


def live(folder: Path, mode: str = "auto") -> LiveReport:
    target = Target(RELEASES[EMBEDDED], gpus=0, is_auto_complete=mode == "auto")
    return check_live(Case(read_repository(folder), target), folder, load_limit_s=20.0)


def by_model(report: LiveReport) -> dict[str, Comparison]:
    return {comparison.model: comparison for comparison in report.comparisons}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Comparison]]:
    """The comparison for each model of each repository, in each mode that the oracle has."""
    root = tmp_path_factory.mktemp("oracle")

    def one(asked: tuple[dict[str, Any], str]) -> dict[str, Comparison]:
        case, mode = asked
        folder = root / mode / case["case"]
        write_case(case, folder)
        return by_model(live(folder, mode))

    with ThreadPoolExecutor(WIDTH) as pool:
        found = pool.map(one, ASKED)
        return {(case["case"], mode): comparisons for (case, mode), comparisons in zip(ASKED, found, strict=True)}


@pytest.mark.parametrize(("case", "mode"), ASKED, ids=lambda part: part["case"] if isinstance(part, dict) else part)
def test_the_server_agrees_on_the_oracle(
    oracle: dict[tuple[str, str], dict[str, Comparison]], case: dict[str, Any], mode: str
) -> None:
    recorded = case["server"][mode]["verdict"]
    for name in case["load"]:
        comparison = oracle[case["case"], mode][name.replace("%2B", "+")]
        assert not comparison.disagreement, comparison
        said = comparison.answer.verdict
        assert said is VERDICTS[recorded] or (recorded == "crash" and said is Verdict.FAILS)  # a race in the server


# Triton's own crashes, as in rule 64, come or do not come; this one always does.
CRASHES = """
import os
import signal


class TritonPythonModel:
    def initialize(self, args):
        os.kill(os.getppid(), signal.SIGSEGV)
"""
SLEEPS = "import time\n\n\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(600)\n"
RAISES = "class TritonPythonModel:\n    def initialize(self, args):\n        open(args['model_name'] * 2)\n"


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> LiveReport:
    """A repository in which a load hangs, one crashes the server, and others follow."""
    root = tmp_path_factory.mktemp("hard")
    write_model(root, "a_hangs", None)
    write_model(root, "b_good")
    write_model(root, "c_crashes", CRASHES)
    write_model(root, "d_passive", config="instance_group { kind: KIND_CPU passive: true }")
    write_model(root, "e_sleeps", SLEEPS)
    write_model(root, "f_raises", RAISES)
    write_model(root, "g_fails", config="dynamic_batching { preferred_batch_size: 0 }")
    write_model(root, "h_has_no_backend", config="")
    (root / "h_has_no_backend" / "config.pbtxt").write_text('backend: "nope"')
    write_model(root, "i_does_not_parse", config="foo: 3")
    write_model(root, "j_null", None)
    (root / "j_null" / "config.pbtxt").write_text('backend: "openvino"')
    write_model(root, "z_good")
    target = Target(RELEASES[EMBEDDED], gpus=0)
    return check_live(Case(read_repository(root), target), root, load_limit_s=5.0)


@pytest.mark.parametrize(
    ("model", "verdict", "said"),
    [
        ("a_hangs", Verdict.HANGS, "Python model file not found in"),
        ("b_good", Verdict.LOADS, ""),
        ("c_crashes", Verdict.CRASHES, "Signal (11) received"),
        ("d_passive", Verdict.LOADS, ""),  # the first request would crash the server
        ("e_sleeps", Verdict.HANGS, "gives no reason"),
        ("f_raises", Verdict.FAILS, "f_raisesf_raises"),
        ("g_fails", Verdict.FAILS, "dynamic batching preferred size must be positive for g_fails"),
        ("h_has_no_backend", Verdict.FAILS, "unable to find backend library for backend 'nope'"),
        ("i_does_not_parse", Verdict.FAILS, '[libprotobuf ERROR text_format.cc:337] Error parsing text-format'),
        ("j_null", Verdict.LOADS, ""),
        ("z_good", Verdict.LOADS, ""),
    ],
)  # fmt: skip
def test_hangs_and_crashes_are_survived(hard: LiveReport, model: str, verdict: Verdict, said: str) -> None:
    answer = by_model(hard)[model].answer
    assert answer.verdict is verdict
    assert any(said in line for line in answer.lines) or not said
    assert bool(answer.lines) == (verdict is not Verdict.LOADS)


def test_what_a_models_own_code_decides_is_no_bug_of_ours(hard: LiveReport) -> None:
    for name in ("e_sleeps", "f_raises"):
        assert by_model(hard)[name].excuse
    assert hard.has_unforeseen_failures


def test_what_is_broken_in_a_folder_is_given_to_the_server_too(tmp_path: Path, write_model: WriteModel) -> None:
    for name in ("dangling", "pipe", "circles"):
        write_model(tmp_path, name)
    (tmp_path / "dangling" / "labels.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe" / "p")
    for link in ("a", "b"):
        (tmp_path / "circles" / link).symlink_to(".")
    report = live(tmp_path)
    assert not report.disagreements
    found = by_model(report)
    assert found["dangling"].answer.verdict is Verdict.FAILS
    assert found["dangling"].codes == found["dangling"].matched == ("TS205",)
    assert found["pipe"].answer.verdict is Verdict.LOADS
    assert found["circles"].is_left_out


def test_a_reason_names_the_users_own_path(hard: LiveReport) -> None:
    (line,) = by_model(hard)["a_hangs"].answer.lines
    assert "/hard" in line
    assert "tritonsmith-run" not in line


def test_nothing_is_left_of_the_servers(tmp_path: Path, write_model: WriteModel) -> None:
    before = leftovers()
    write_model(tmp_path, "hangs", None)
    write_model(tmp_path, "good")
    live(tmp_path)
    assert leftovers() <= before
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"hangs/config.pbtxt", "good/config.pbtxt", "good/1/model.py"}


def leftovers() -> set[str]:
    """Memory of runs that are over: a server that runs beside has its folder still."""
    found = {entry.name for entry in Path("/dev/shm").iterdir() if entry.name.startswith("tritonsmith-run-")}
    return {name for name in found if not Path(tempfile.gettempdir(), "-".join(name.split("-")[:3])).exists()}


EXAMPLES = [ROOT / "model_repository", *sorted((ROOT / "ensembles").glob("*/spec.yaml"))]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_server_agrees_on_our_own_examples(path: Path, mode: str) -> None:
    asked = ask(Question(path, release="embedded", is_auto_complete=mode == "auto"))
    assert isinstance(asked, Asked)
    report = check_live(asked.case, asked.path)
    assert report.comparisons
    assert not report.disagreements
    assert not report.has_unforeseen_failures


BOUNDED = FIELDS_SINCE["ensemble_scheduling.max_inflight_requests"]  # which this server does not know
SERVED = [name for name, row in RELEASES.items() if row.tensorrt_llm and parse_version(row.tensorrt_llm) >= OLDEST]


def as_served(repository: Repository) -> str:
    """Return what the server reads of a repository: releases for which this is the same are asked about once."""
    files = {name: {**model.files} for name, model in repository.models.items()}
    for of_model in files.values():
        of_model.pop("engine.sh", None)
    return repr([(model.config, sorted(files[name].items())) for name, model in repository.models.items()])


@pytest.mark.slow
def test_the_server_agrees_on_what_is_built_for_every_release(tmp_path: Path) -> None:
    # of the examples only this one differs between releases, and of its files only config.pbtxt
    source = ROOT / "ensembles" / "text_generation"
    different: dict[str, Asked] = {}
    for release in SERVED:
        folder = tmp_path / release
        folder.mkdir()
        for entry in source.iterdir():
            (folder / entry.name).symlink_to(entry)
        text = re.sub(r"(?m)^triton:.*$", f'triton: "{release}"', (source / "spec.yaml").read_text())
        (folder / "other.yaml").write_text(text)
        asked = ask(Question(folder / "other.yaml"))
        assert isinstance(asked, Asked)
        assert asked.case.target.release.name == release
        different.setdefault(as_served(asked.case.repository), asked)
    assert len(different) > 5
    with ThreadPoolExecutor(WIDTH) as pool:
        reports = pool.map(lambda asked: check_live(asked.case, asked.path), different.values())
        for asked, report in zip(different.values(), reports, strict=True):
            failing = {
                found.model: found.answer for found in report.comparisons if found.answer.verdict is not Verdict.LOADS
            }
            release = asked.case.target.release.name
            assert list(failing) == ["chat"] * (release >= BOUNDED), (release, failing)
            assert not report.disagreements, release


CLI = [sys.executable, "-m", "tritonsmith.generator", "check", "--live"]


def test_the_command_shows_both_verdicts(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "good")
    write_model(tmp_path, "hangs", None)
    done = subprocess.run([*CLI, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no GPU, auto-complete on, says" in done.stdout
    assert "good   loads\n" in done.stdout
    assert "hangs  hangs, as said: TS202 (" in done.stdout
    assert done.stdout.endswith("tritonsmith agrees on 2 of 2\n")


def test_the_command_answers_machines_with_one_object(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "good")
    done = subprocess.run([*CLI, str(tmp_path), "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["live"]
    assert (model["model"], model["ours"], model["server"], model["agrees"]) == ("good", "loads", "loads", True)
    assert json.loads(done.stdout)["findings"]  # a warning


@pytest.mark.parametrize("options", [["--load-limit", "3"], ["--live", "--format", "sarif"]])
def test_options_that_do_not_fit_are_wrong_usage(tmp_path: Path, options: list[str]) -> None:
    done = subprocess.run([*CLI[:-1], str(tmp_path), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2


def test_a_disagreement_is_shown_as_a_bug_of_ours() -> None:
    answer = Answer("m", Verdict.FAILS, ("model_lifecycle.cc:642] \"failed to load 'm' version 1: new in Triton\"",))
    report = LiveReport(Target(), (Comparison(answer, Verdict.LOADS),))
    text = as_text(report)
    assert "tritonsmith is wrong about m: it says 'loads', the server 'does not load'" in text
    assert "report this bug" in text
    assert not as_json(report)[0]["agrees"]


def test_the_right_verdict_for_another_reason_is_a_disagreement() -> None:
    answer = Answer("m", Verdict.FAILS, ("'max_batch_size' must be non-negative value for m",))
    other = replace(error("it is", code="TS201"), model="m", phase=Phase.LOAD)
    (code,) = matching_codes(answer.lines)
    comparison = Comparison(answer, Verdict.FAILS, (other,), (code,))
    assert code in comparison.disagreement
    assert not replace(comparison, findings=(replace(other, code=code),)).disagreement
