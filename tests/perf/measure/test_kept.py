"""Requests within a limit, window by window."""

import numpy as np
import pytest

from tritonsmith.perf.measure.kept import count_kept, unanswered
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import Profile

CLIENTS = Load("concurrency", 1)


def profile_of(latencies_ms: list[float], gap_ms: float = 100.0) -> Profile:
    sent = (np.arange(len(latencies_ms)) * gap_ms * 1e6).astype(np.int64)
    arrived = sent + (np.asarray(latencies_ms) * 1e6).astype(np.int64)
    ones = np.ones(len(sent), dtype=np.int64)
    return Profile(sent, ones, arrived, ones, "responses", np.array([0, 300_000_000, 600_000_000]), "2.51.0")


def test_requests_are_counted_in_the_window_in_which_they_were_answered() -> None:
    [kept] = count_kept(CLIENTS, profile_of([10, 50, 51, 10, 80, 10]), {"p99_ms": 50.0})
    assert (kept.requests, kept.within) == ((3, 3), (2, 2))
    assert list(kept.mean_ms) == pytest.approx([37, 100 / 3], abs=1e-3)


def test_a_time_equal_to_the_limit_keeps_it() -> None:
    [kept] = count_kept(CLIENTS, profile_of([50.0]), {"p50_ms": 50.0})
    assert kept.within == (1, 0)


def test_answers_of_one_response_have_no_time_per_token_to_keep() -> None:
    [kept] = count_kept(CLIENTS, profile_of([10, 10]), {"tpot_ms": 5.0})
    assert kept.requests == (0, 0)


def test_a_rate_s_requests_without_an_answer_are_beyond_the_limit() -> None:
    rate, fallen_behind = Load("request_rate", 200), profile_of([10.0] * 60, gap_ms=5)
    assert unanswered(rate, fallen_behind, 50) == 46  # of 120 asked: 98 % less 10 in flight and 2, less 60 answered
    [kept] = count_kept(rate, fallen_behind, {"p99_ms": 50.0})
    assert sum(kept.requests) == 106
    assert unanswered(CLIENTS, fallen_behind, 50) == 0


def test_a_rate_that_was_not_sent_is_not_the_server_s_fault() -> None:
    assert unanswered(Load("request_rate", 1000), profile_of([10.0] * 6), 50) == 0
