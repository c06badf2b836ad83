"""The exact shares of M/D/1, against queues that are played through and another way to the same."""

import math
import random

import pytest

from tests.perf.plan.packing.played_through import waits_s
from tritonsmith.perf.bench.packing import share_by_lengths
from tritonsmith.perf.plan.packing.equal_times import MOST_TIMES, most_rate_per_s, share_within, waits_within_s
from tritonsmith.perf.plan.packing.tails import Demand, decay_needed, keep_with_longest


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8])
def test_as_many_wait_longer_as_in_a_queue_that_is_played_through(load: float) -> None:
    waits = waits_s([Demand(load / 0.01, 0.01)])
    for times in (0.0, 0.5, 1.0, 1.5, 3.0):
        late = sum(wait > times * 0.01 for wait in waits) / len(waits)
        assert 1 - share_within(times * 0.01, load / 0.01, 0.01) == pytest.approx(late, rel=0.1, abs=5e-4)


@pytest.mark.parametrize("load", [0.01, 0.3, 0.8, 0.99])
def test_the_sum_of_changing_signs_keeps_its_digits(load: float) -> None:
    for times in (0, 0.3, 1, 2.5, 7.9, MOST_TIMES):
        assert share_within(times, load, 1.0) == pytest.approx(share_by_lengths(times, load), abs=1e-9)


def test_the_most_rate_and_the_wait_are_each_others_inverse() -> None:
    rate = most_rate_per_s(0.05, 0.05, 0.99)
    assert (1 - rate * 0.05) * math.exp(rate * 0.05) == pytest.approx(0.99)
    assert waits_within_s(0.99, rate, 0.05) == pytest.approx(0.05)
    assert waits_within_s(0.5, 1.0, 0.05) == 0
    assert waits_within_s(0.99, 19.9, 0.05) == math.inf  # more than 12 requests take
    assert share_within(0.1, 20.0, 0.05) == 0


def limited(rate_per_s: float, busy_s: float, limit_s: float, share: float) -> Demand:
    needed = decay_needed(limit_s, share, busy_s)
    return Demand(rate_per_s, busy_s, needed, wait_s=limit_s - busy_s, share=share)


def test_what_keeps_its_limits_together_adds_up_to_1_at_most() -> None:
    draw, kept = random.Random(1), 0
    for _ in range(300):
        demands = [
            limited(
                draw.uniform(0.1, 8), draw.uniform(0.03, 0.05), draw.uniform(0.06, 0.4), draw.choice([0.5, 0.9, 0.99])
            )
            for _ in range(draw.randint(1, 5))
        ]
        if keep_with_longest(demands):
            kept += 1
            assert sum(demand.least_weight for demand in demands) <= 1 + 1e-9
    assert 50 < kept < 250
