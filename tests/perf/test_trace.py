"""Recorded arrivals, and how truly they were replayed."""

import json
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.analyzer import (
    LEAD_REQUESTS,
    AnalyzerRun,
    analyzer_argv,
    replay_window_ms,
    schedule_us,
    without_lead,
)
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import Profile
from tritonsmith.perf.measure.replayed import compare_replay
from tritonsmith.perf.trace import Arrival, parse_speed, read_trace, replay_of, replayed_times, require_replayable

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.5,110,27
"""


def trace_of(text: str, folder: Path) -> tuple[Arrival, ...]:
    path = folder / "trace"
    path.write_text(text)
    return read_trace(path)


def test_azure_s_traces_are_read(tmp_path: Path) -> None:
    first, second, third = trace_of(AZURE, tmp_path)
    assert (first.prompt_tokens, first.output_tokens) == (4808, 10)
    assert [one.time_s for one in (first, second, third)] == pytest.approx([0, 0.052, 0.52004], abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "time,model\n7.5,a\n5,a\n5.5,a\n",
        '{"time": 7.5, "model": "a"}\n{"time": 5, "model": "a"}\n{"time": 5.5, "model": "a"}\n',
        "# recorded in spring\n5\n5.5\n7.5\n",
        "5\n5.5  # noon\n7.5\n",
        "5,1\n5.5,1\n7.5,1\n",
        "TIMESTAMP,MODEL\n5,a\n5.5,a\n\n7.5,a\n",
    ],
)
def test_a_trace_begins_with_its_first_request_and_is_in_order(text: str, tmp_path: Path) -> None:
    assert [one.time_s for one in trace_of(text, tmp_path)] == [0, 0.5, 2.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time\nsoon\n2\n", "trace:2: 'soon' is no time"),
        ("time\nnan\n2\n", "'nan' is no time"),
        ("time,prompt_tokens\n1,-4\n2,1\n", "prompt_tokens '-4' is no whole number"),
        ('{"time": 1}\n{"time"\n', "trace:2: not a JSON object"),
        ("0\nx\n", "trace:2: 'x' is no time"),
        ("0\n-1\n", "trace:2: '-1' is no time"),
        ("0\ninf\n", "trace:2: 'inf' is no time"),
        ("0\n1,0\n", "trace:2: a request of 0 rows"),
        ("0\n1,1.5\n", "trace:2: rows '1.5' is no whole number"),
        ("0\n1,2,3\n", "trace:2: '1,2,3' has too many values"),
        ("time,model\n1,a\n2,b\n", "requests for a, b"),
        ("# nothing\n", "no request in"),
    ],
)
def test_what_is_no_trace_is_refused_at_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        trace_of(text, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,rows\n1,2\n2,1\n", "trace:2: a request of 2 rows cannot be replayed"),
        ("time,priority\n1,0\n2,3\n", "trace:3: priority 3 cannot be replayed"),
        ("5\n", "trace:1: a single request is no trace"),
    ],
)
def test_what_can_be_simulated_but_not_replayed_is_refused_for_a_replay(text: str, said: str, tmp_path: Path) -> None:
    arrivals = trace_of(text, tmp_path)
    with pytest.raises(UsageError) as caught:
        require_replayable(arrivals)
    assert said in str(caught.value)


def test_rows_and_priorities_are_kept(tmp_path: Path) -> None:
    bare = trace_of("# seconds, rows\n0.5\n\n0.25,4  # a batch\n1e0,2\n", tmp_path)
    assert [(one.time_s, one.rows) for one in bare] == [(0, 4), (0.25, 1), (0.75, 2)]
    named = trace_of("time,priority\n1,2\n2,\n", tmp_path)
    assert [one.priority for one in named] == [2, 0]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_trace(tmp_path / "none.csv")


def test_twice_the_speed_takes_half_the_time() -> None:
    assert replayed_times([Arrival(0), Arrival(3)], 2) == (0, 1.5)
    assert parse_speed("2x") == parse_speed("2") == 2
    for text in ("0x", "fast", "-1", "nan"):
        with pytest.raises(UsageError, match="no speed"):
            parse_speed(text)


def test_a_trace_of_more_than_an_hour_and_one_of_no_time_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes 7,200 s.*\n.*raise --speed"):
        replayed_times([Arrival(0), Arrival(7200)], 1)
    with pytest.raises(UsageError, match="all requests at one time"):
        replayed_times([Arrival(0), Arrival(0)], 1)


def test_another_time_is_another_replay() -> None:
    assert (
        replay_of("a", (0, 1.0), 1).digest == replay_of("b", (0, 1.0), 1).digest != replay_of("a", (0, 1.1), 1).digest
    )
    assert json.dumps(replay_of("a", (0, 1.0), 1).seconds) == "1.0"


def test_the_schedule_is_the_trace_after_a_lead_and_does_not_begin_again() -> None:
    task = AnalyzerRun("m", "u", Load("request_rate", 2), window_ms=replay_window_ms(1.5), arrivals_s=(0.0, 0.5, 1.5))
    *lead, first, second, last = schedule_us(task)
    assert (len(lead), first, second) == (LEAD_REQUESTS + 1, 500_000, 1_000_000)
    assert sum(lead) / 1e6 + 1.5 < task.measured_s < sum(lead) / 1e6 + 1.5 + last / 1e6
    assert "--warmup-request-count" not in analyzer_argv("perf_analyzer", task)


def profile_of(sent_s: list[float]) -> Profile:
    sent = (np.asarray(sent_s) * 1e9).astype(np.int64)
    ones = np.ones(len(sent), dtype=np.int64)
    return Profile(sent, ones, sent + 1_000_000, ones, "responses", np.array([0, 10**9, 2 * 10**9]), "2.51.0")


def test_the_lead_is_left_out_and_windows_are_the_trace_s_own() -> None:
    lead = [0.01 * number for number in range(LEAD_REQUESTS)]
    kept = without_lead(profile_of([1.0, 1.5, 2.5, *lead]))
    assert (kept.sent_ns / 1e9).tolist() == [1.0, 1.5, 2.5]
    assert kept.measured_s == pytest.approx(1.501)
    assert len(kept.window_ends_ns) == 4


def test_a_replay_s_lag_is_the_distance_from_the_trace() -> None:
    arrivals = tuple(float(one) for one in np.cumsum(np.random.default_rng(0).exponential(0.1, 200)))
    exact = compare_replay(arrivals, profile_of(list(arrivals)))
    assert exact.lag_max_us < 1
    assert exact.sent_per_s == pytest.approx(exact.asked_per_s, rel=1e-4)
    late = list(arrivals)
    late[50] += 0.05
    assert compare_replay(arrivals, profile_of(sorted(late))).lag_max_us == pytest.approx(50_000, rel=0.9)


def test_requests_that_are_missing_at_either_end_do_not_count_as_late() -> None:
    arrivals = tuple(float(one) for one in np.cumsum(np.random.default_rng(0).exponential(0.1, 200)))
    replayed = compare_replay(arrivals, profile_of(list(arrivals[3:190])))
    assert (replayed.asked, replayed.answered) == (200, 187)
    assert replayed.lag_max_us < 1
