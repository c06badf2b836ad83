"""Stored baselines: how far their sessions differ decides what can be said; few of them say nothing."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.perf.gate.answers import find_difference, pack, unpack
from tritonsmith.perf.gate.core import DEFAULT_TOLERANCES, Failure, Run
from tritonsmith.perf.gate.document import Gate, GatePlan
from tritonsmith.perf.gate.page import render_page
from tritonsmith.perf.gate.stored import (
    Session,
    StoredBaseline,
    StoredPoint,
    judge_stored,
    read_baseline,
    require_same_plan,
    session_values,
    stored_points,
    with_session,
    write_baseline,
)
from tritonsmith.perf.gate.text import as_markdown, as_text
from tritonsmith.perf.measure.fingerprint import Fingerprint
from tritonsmith.perf.measure.load import Load

LOAD = Load("concurrency", 4)
POINT = ("p50", LOAD)
HERE = Fingerprint("Some CPU", 2, 8, "6.1", "2.36", "3.11.7", "2.51.0", "2.51.0")
NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)


def session(value: float, hours: float, identity: str = "a", noise: float = 0.005) -> Session:
    """A session of 12 generations around the logarithm `value`, so many hours after noon."""
    logs = np.log(4000) + value + noise * np.linspace(-1, 1, 12)
    at = NOON + datetime.timedelta(hours=hours)
    return Session(at.isoformat(), identity, (StoredPoint("p50", LOAD, tuple(logs.tolist())),))


def stored(*sessions: Session) -> StoredBaseline:
    return StoredBaseline("main", GatePlan("digits", (LOAD,)), "d" * 64, HERE, sessions, [])


def steady(count: int, spread: float = 0.01) -> StoredBaseline:
    return stored(*(session(spread * (-1) ** number, 24 * number) for number in range(count)))


@pytest.mark.parametrize(("slowdown", "word"), [(1.0, "pass"), (1.2, "regress"), (1.06, "inconclusive")])
def test_with_many_steady_sessions_there_is_a_verdict(slowdown: float, word: str) -> None:
    points = session(float(np.log(slowdown)), 999).points
    verdict = judge_stored(steady(12), points, DEFAULT_TOLERANCES)
    assert verdict.word == word
    [one] = verdict.comparisons
    assert one.low is not None
    assert one.high is not None
    assert one.slowdown == pytest.approx(slowdown)
    assert one.low < one.slowdown < one.high


@pytest.mark.parametrize("slowdown", [1.0, 3.0])
def test_two_sessions_are_a_trend_and_no_verdict(slowdown: float) -> None:
    verdict = judge_stored(steady(2), session(float(np.log(slowdown)), 999).points, DEFAULT_TOLERANCES)
    assert verdict.word == "inconclusive"
    assert "2 sessions" in verdict.reasons[0]
    assert "trend" in verdict.reasons[0]
    assert verdict.comparisons[0].low is None


def test_the_more_sessions_differ_the_less_is_seen() -> None:
    seen = [
        judge_stored(steady(8, spread), session(0, 999).points, DEFAULT_TOLERANCES).comparisons[0].smallest_visible
        for spread in (0.005, 0.02, 0.05)
    ]
    assert seen == sorted(seen, key=lambda one: one or 0.0)
    assert judge_stored(steady(8, 0.05), session(0, 999).points, DEFAULT_TOLERANCES).word == "inconclusive"


def test_sessions_one_after_the_other_count_once() -> None:
    near = [session(0.01, 0), session(0.03, 0.5), session(-0.02, 24)]
    assert session_values(near, POINT) == pytest.approx([np.log(4000) + 0.02, np.log(4000) - 0.02])


def test_hardly_a_verdict_is_wrong_where_today_is_a_day_like_the_stored_ones() -> None:
    draw, gates, wrong = np.random.default_rng(1), 400, 0
    for _ in range(gates):
        days = draw.normal(0, 0.03, 6)
        baseline = stored(*(session(float(day), 24 * number) for number, day in enumerate(days[:5])))
        points = session(float(days[5]) + float(np.log(1.05)), 999).points
        wrong += judge_stored(baseline, points, DEFAULT_TOLERANCES).word != "inconclusive"
    assert wrong / gates < 0.05  # 2 % each way


def test_failures_and_refusals_count_as_always() -> None:
    failure = Failure("wrong outputs", "candidate", "row 1", "differs")
    assert judge_stored(steady(8), session(0, 999).points, DEFAULT_TOLERANCES, failures=[failure]).word == "regress"
    refused = judge_stored(steady(8), session(0, 999).points, DEFAULT_TOLERANCES, refusals=["steal"])
    assert (refused.word, refused.reasons) == ("inconclusive", ("steal",))


def test_a_new_baseline_begins_anew() -> None:
    assert [one.identity for one in with_session(steady(3), session(0, 99, "b")).sessions] == ["b"]
    assert len(with_session(steady(3), session(0, 99)).sessions) == 4


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "baseline.json"
    assert read_baseline(write_baseline(steady(3), path)) == steady(3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "tritonsmith.gate/1"}'])
def test_what_is_no_stored_baseline_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RepositoryError) as problem:
        read_baseline(tmp_path / "x.json")
    assert "--save-baseline" in problem.value.hint
    with pytest.raises(UsageError, match="no stored baseline"):
        read_baseline(tmp_path / "nowhere.json")


def test_another_load_or_input_is_refused_by_name() -> None:
    baseline = steady(3)
    require_same_plan(baseline, replace(baseline.plan, budget_s=60.0), "d" * 64, where="b.json")
    other = replace(baseline.plan, loads=(Load("concurrency", 8),))
    with pytest.raises(UsageError, match="loads: concurrency 4 there, concurrency 8 here; input data"):
        require_same_plan(baseline, other, "e" * 64, where="b.json")


def test_runs_become_a_value_per_generation_larger_where_slower(make_runs: Callable[..., tuple[Run, ...]]) -> None:
    runs = [run for run in make_runs(pairs=8) if run.side == "candidate"]
    points = {(one.metric, one.load): one for one in stored_points(runs)}
    assert len(points[POINT].logs) == 8
    assert points[POINT].logs[0] == pytest.approx(np.log(4000), abs=0.05)
    assert points["throughput", LOAD].logs[0] == pytest.approx(-np.log(1000), abs=0.05)


def test_answers_are_kept_to_the_bit() -> None:
    answers = [[{"y": np.array([[1.5, -2]], np.float32), "s": np.array([[b"a", b"\xff"]], dtype=object)}], []]
    assert find_difference(answers, unpack(pack(answers)), 0.0) == ""


def test_what_it_can_show_is_said_wherever_the_verdict_is(make_gate: Callable[..., Gate]) -> None:
    gate = replace(make_gate(), stored_sessions=5)
    for said in (as_markdown(gate), render_page(gate)):
        assert "not measured now: it is 5 sessions of before" in said
        assert "8 generations" in said
        assert "fresh start of both" not in said
    assert "8 generations in" in as_text(gate)
