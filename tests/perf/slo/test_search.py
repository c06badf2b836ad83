"""The search for the highest load within limits, against a server that is made up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tritonsmith.perf.slo.core import Answer, Level, Span, Tally
from tritonsmith.perf.slo.evidence import design_effect, joined, judge, mean_of, pooled, share_of, wilson
from tritonsmith.perf.slo.search import conclude, next_level

CLIENTS, RATES = Span("concurrency", 1, 1024, 1), Span("request_rate", 1, 10_000, 100)
P99 = {"p99_ms": 50.0}
Share = Callable[[float], float]


def search(
    span: Span, share_at: Share, *, most_cells: int = 8, requests: int = 400, seed: int = 0
) -> tuple[Answer, int]:
    """Search with a share of requests within the limit by level; return the answer and the measurements it took."""
    draw = np.random.default_rng(seed)
    levels: dict[float, Level] = {}
    for count in range(500):
        known = [levels[value] for value in sorted(levels)]
        value = next_level(span, known, P99, most_cells)
        if value is None:
            return conclude(span, known, P99), count
        within = tuple(int(one) for one in draw.binomial(requests, share_at(value), size=3))
        tally = Tally((requests,) * 3, within, (10.0,) * 3)
        before = levels.get(value)
        together = joined([before.tallies["p99_ms"], tally]) if before else tally
        levels[value] = Level(value, before.cells + 1 if before else 1, {"p99_ms": together})
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("highest", [1, 2, 7, 64, 100, 1023])
def test_the_highest_concurrency_is_found_to_the_integer(highest: int) -> None:
    answer, _ = search(CLIENTS, lambda value: 1.0 if value <= highest else 0.5)
    assert (answer.outcome, answer.level, answer.failing) == ("found", highest, highest + 1)


@pytest.mark.parametrize("highest", [3.0, 77.0, 512.0, 9_000.0])
def test_a_rate_is_found_to_five_percent_wherever_the_search_begins(highest: float) -> None:
    answer, count = search(RATES, lambda value: 0.999 if value <= highest else 0.3)
    assert answer.outcome == "found"
    assert 0.95 * highest <= (answer.level or 0) <= highest < (answer.failing or 0)
    assert count < 40


def test_the_lowest_level_that_fails_is_the_answer_no() -> None:
    answer, count = search(CLIENTS, lambda _: 0.5)
    assert (answer.outcome, answer.level, answer.failing, count) == ("none", None, 1, 1)


def test_where_the_highest_that_was_asked_for_holds_nothing_fails() -> None:
    answer, _ = search(CLIENTS, lambda _: 1.0)
    assert (answer.outcome, answer.level, answer.failing) == ("found", 1024, None)


def test_what_lies_on_the_limit_everywhere_cannot_be_told() -> None:
    answer, _ = search(CLIENTS, lambda _: 0.99)
    assert answer.outcome == "unclear"


def test_a_level_is_measured_again_only_while_it_is_not_clear() -> None:
    _, clear = search(CLIENTS, lambda value: 1.0 if value <= 8 else 0.2)
    _, hard = search(CLIENTS, lambda value: 1.0 if value <= 8 else 0.985)
    assert clear < hard


def test_a_wrong_answer_is_rare() -> None:
    answers = [search(CLIENTS, lambda value: 0.998 if value <= 20 else 0.97, seed=seed)[0] for seed in range(60)]
    assert sum(answer.level > 20 for answer in answers if answer.level) <= 3


def test_a_server_that_refuses_fails_the_level() -> None:
    levels = [Level(1, 1, {"p99_ms": Tally((400,), (400,), (1.0,))}), Level(2, 0, {}, failure="queue is full")]
    assert judge(levels, P99) == {1: "holds", 2: "fails"}
    assert conclude(CLIENTS, levels, P99).why == "queue is full"


def test_a_load_that_was_not_held_shows_nothing_good() -> None:
    good = Tally((4000,), (4000,), (1.0,))
    assert judge([Level(8, 1, {"p99_ms": good}, is_held=False)], P99) == {8: "open"}


def test_levels_that_contradict_each_other_are_judged_together() -> None:
    first, second = Tally((100,), (90,), (1.0,)), Tally((100,), (98,), (1.0,))
    assert pooled([first, second]) == [joined([first, second])] * 2
    assert pooled([second, first]) == [second, first]


def test_bursts_of_slow_requests_widen_the_interval() -> None:
    spread_out = Tally((200,) * 6, (196,) * 6, (1.0,) * 6)
    in_a_burst = Tally((200,) * 6, (200,) * 5 + (176,), (1.0,) * 6)
    assert design_effect(spread_out) == 1
    assert share_of(in_a_burst).low < share_of(spread_out).low < 0.98 < share_of(in_a_burst).high


def test_wilson_s_interval() -> None:
    share = wilson(9, 10)  # Wilson (1927): 0.596 to 0.982
    assert share.low == pytest.approx(0.596, abs=1e-3)
    assert share.high == pytest.approx(0.982, abs=1e-3)


def test_a_mean_is_believed_after_two_measurements() -> None:
    three = Tally((10,) * 3, (0,) * 3, (10.0, 10.1, 9.9))
    assert judge([Level(1, 1, {"mean_ms": three})], {"mean_ms": 20.0}) == {1: "open"}
    six = joined([three, three])
    assert judge([Level(1, 2, {"mean_ms": six})], {"mean_ms": 20.0}) == {1: "holds"}
    assert judge([Level(1, 2, {"mean_ms": six})], {"mean_ms": 5.0}) == {1: "fails"}
    assert mean_of(six).high < 10.2
