"""What a fleet costs, by hand."""

import math
from dataclasses import replace

import pytest

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import Figure, Replicas, Tails, Traffic
from tritonsmith.perf.plan.cost import cost_of, joules_per_token

TAILS = Tails({}, {}, {}, 1.0, 0.5)
ASKED = Traffic(20, 100, 50)  # 1000 tokens generated a second
GPU = Gpu("TEST", 80 << 30, 3e12, {"bf16": 1e15}, 4e11, 8, (9, 0), 700.0, (), "test")


def fleet(low: float, high: float) -> Replicas:
    return Replicas(4, 1, 0, Figure(5.0, low, high, "test"), TAILS, TAILS)


def test_a_fleet_costs_its_gpus_and_a_million_tokens_their_share() -> None:
    cost = cost_of(fleet(5.0, 5.0), 2, 3.0, Traffic(20, 100, 50))
    assert cost.per_hour.value == 5 * 2 * 3.0  # the spare replica included
    assert cost.per_million_requests.value == pytest.approx(30 / (20 * 3600) * 1e6)
    assert cost.per_million_tokens.value == pytest.approx(30 / (20 * 50 * 3600) * 1e6)


def test_the_ends_are_the_fleets_that_slower_and_faster_replicas_need() -> None:
    cost = cost_of(fleet(4.0, 10.0), 1, 2.0, Traffic(20, 100, 50))
    assert (cost.per_hour.low, cost.per_hour.value, cost.per_hour.high) == (3 * 2.0, 5 * 2.0, 6 * 2.0)


def test_replicas_that_may_be_too_slow_have_no_upper_end() -> None:
    assert math.isinf(cost_of(fleet(0.0, 10.0), 1, 2.0, Traffic(20, 100, 50)).per_hour.high)


def test_recorded_answers_cost_by_their_own_length() -> None:
    recorded = Traffic(0, 0, 0, arrivals=((0.0, 10, 20), (1.0, 10, 40), (2.0, 10, 30)))
    cost = cost_of(fleet(5.0, 5.0), 1, 1.0, recorded)
    assert cost.per_million_tokens.value == pytest.approx(cost.per_million_requests.value / 30)


def test_a_price_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="price of 0"):
        cost_of(fleet(5.0, 5.0), 1, 0.0, Traffic(20, 100, 50))


def test_joules_lie_between_those_of_boards_that_draw_least_and_most() -> None:
    joules = joules_per_token(GPU, 4, replace(TAILS, utilisation=1.0, busy=1.0), ASKED)
    assert joules.value == pytest.approx(4 * 700 * 0.74 / 1000)
    assert joules.low == pytest.approx(4 * 700 * 0.38 / 1000)
    assert joules.high == pytest.approx(4 * 700 * 0.97 / 1000)


def test_a_gpu_with_few_sequences_draws_what_one_takes_and_an_idle_one_little() -> None:
    few, idle = (joules_per_token(GPU, 4, replace(TAILS, utilisation=0.0, busy=busy), ASKED) for busy in (1.0, 0.0))
    assert few.value == few.low == pytest.approx(4 * 700 * 0.38 / 1000)
    assert idle.value == idle.high == pytest.approx(4 * 700 * 0.11 / 1000)
