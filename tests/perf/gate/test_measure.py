"""What a run does where perf_analyzer ends in ways of its own; it is stood in for by a script with its words."""

from pathlib import Path

import pytest

from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.gate.document import GatePlan
from tritonsmith.perf.gate.measure import Bench, _run_twice_at_most, pair_seconds
from tritonsmith.perf.gate.refusals import too_short
from tritonsmith.perf.measure.analyzer import AnalyzerRun, AnalyzerTool
from tritonsmith.perf.measure.load import Load

LOAD = Load("concurrency", 2)


def bench(folder: Path, words: str) -> Bench:
    program = folder / "perf_analyzer"
    program.write_text(f"#!/bin/sh\necho once >> {folder}/calls\necho '{words}' >&2\nexit 99\n")
    program.chmod(0o755)
    tool = AnalyzerTool(program, {"PATH": "/usr/bin:/bin"})
    return Bench(GatePlan("m", (LOAD,)), tool, folder, folder / "input.json", is_decoupled=False, cores=2)


@pytest.mark.parametrize(
    ("words", "calls"),
    [("failed to find the requested model version", 2), ("Thread [0] had error: out of coffee", 1)],
)
def test_lost_statistics_are_measured_once_more_and_a_failed_request_is_not(
    words: str, calls: int, tmp_path: Path
) -> None:
    with pytest.raises(ServerError, match=words.partition(":")[2] or words):
        _run_twice_at_most(bench(tmp_path, words), AnalyzerRun("m", "localhost:1", LOAD, window_ms=20))
    assert len((tmp_path / "calls").read_text().splitlines()) == calls


@pytest.mark.parametrize(("loads", "seconds"), [(1, 2 + 8 * (0.216 + 0.06)), (2, 2 + 16 * (0.216 + 0.06))])
def test_how_long_a_pair_takes_is_foreseen(loads: int, seconds: float) -> None:
    plan = GatePlan("m", tuple(Load("concurrency", 2**number) for number in range(loads)), window_ms=60)
    assert pair_seconds(plan) == pytest.approx(seconds)


def test_a_budget_that_cannot_lead_to_a_verdict_is_told_before_it_is_spent() -> None:
    assert too_short(120, 10, 3.5) == ()
    assert too_short(120, 10, 15.0) == ()  # pairs may turn out shorter
    [said] = too_short(60, 10, 24.0)
    assert "a pair takes about 24 s" in said
    assert "--budget-s 210" in said
