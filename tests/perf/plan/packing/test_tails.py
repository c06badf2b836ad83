"""The bound on waiting, against queues that are played through."""

import math

import pytest

from tests.perf.plan.packing.played_through import waits_s
from tritonsmith.perf.plan.packing.tails import Demand, answered_within_s, decay_needed, decay_reached

ONE_MODEL = [Demand(60, 10e-3)]
TWO_MODELS = [Demand(100, 2e-3), Demand(10, 40e-3)]
VARYING = [Demand(100, 3e-3, variation=1.0), Demand(20, 10e-3, variation=0.5)]
MANY_MODELS = [Demand(2 + number / 2, 1e-3 * (1 + number % 5)) for number in range(20)]


@pytest.mark.parametrize(
    "demands", [ONE_MODEL, TWO_MODELS, MANY_MODELS, VARYING], ids=["one", "two", "many", "varying"]
)
@pytest.mark.parametrize("share", [0.9, 0.99])
def test_no_more_requests_than_said_wait_longer_and_the_bound_is_near(demands: list[Demand], share: float) -> None:
    waits = waits_s(demands)
    simulated_s = waits[int(share * len(waits))]
    bound_s = answered_within_s(decay_reached(demands), share)
    assert simulated_s <= bound_s <= 1.6 * simulated_s


def test_what_a_limit_needs_is_reached_exactly_at_it() -> None:
    needed = decay_needed(0.09, 0.99)
    rate = 1 / Demand(1.0, 10e-3).weight(needed)
    assert decay_reached([Demand(rate, 10e-3)]) == pytest.approx(needed)
    assert answered_within_s(needed, 0.99) == pytest.approx(0.09)


def test_what_varies_needs_more_than_what_does_not_and_keeps_its_limit() -> None:
    steady, varying = decay_needed(0.1, 0.99, 0.01), decay_needed(0.1, 0.99, 0.01, 0.5)
    assert varying > steady == pytest.approx(math.log(100) / 0.09)
    assert answered_within_s(varying, 0.99, 0.01, 0.5) == pytest.approx(0.1)
    assert decay_needed(0.02, 0.99, 0.01, 1.0) == math.inf  # more than 1 % of the requests alone take longer


def test_a_varying_request_at_an_idle_gpu_is_answered_later_than_in_the_mean() -> None:
    quantile_s = math.log(100) * 0.01  # of the exponential distribution, which variation 1 is
    assert quantile_s < answered_within_s(math.inf, 0.99, 0.01, 1.0) < 2 * quantile_s


def test_without_a_limit_a_model_weighs_its_share_of_time() -> None:
    assert decay_needed(math.inf, 0.99) == 0
    assert Demand(40, 12e-3).weight(0.0) == pytest.approx(0.48)
    assert Demand(40, 12e-3).weight(1e-6) == pytest.approx(0.48)


def test_a_limit_below_the_time_of_one_request_cannot_be_kept() -> None:
    assert decay_needed(0.0, 0.99) == math.inf
    assert Demand(0.001, 10.0).weight(1000.0) == math.inf


def test_an_idle_gpu_lets_nobody_wait_and_an_overloaded_one_for_ever() -> None:
    assert answered_within_s(decay_reached([]), 0.99) == 0
    assert answered_within_s(decay_reached([Demand(101, 10e-3)]), 0.99) == math.inf
