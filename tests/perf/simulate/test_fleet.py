import math

import pytest

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.simulate import ServiceTimes, SimulatedModel, System, highest_rate, replicas_for

EXPONENTIAL = System({"m": SimulatedModel(ServiceTimes({1: 1000.0}, variation=1.0))})
LIMIT_US = 10_000.0
RATE_PER_S = 1000 - math.log(100) / (LIMIT_US / 1e6)  # M/M/1: the time in the system is exponential, too


def test_the_highest_rate_is_that_of_m_m_1() -> None:
    assert highest_rate(EXPONENTIAL, "m", LIMIT_US) == pytest.approx(RATE_PER_S, rel=0.05)


def test_a_fleet_holds_the_latency_with_its_spare_replicas_down() -> None:
    size = replicas_for(EXPONENTIAL, "m", 2000, LIMIT_US, spare=1)
    assert (size.replicas, size.spare, size.rate_per_replica) == (math.ceil(2000 / RATE_PER_S) + 1, 1, 500)
    assert size.latency_all_up_us < size.latency_us <= LIMIT_US


def test_more_spare_replicas_are_added_on_top() -> None:
    one, three = (replicas_for(EXPONENTIAL, "m", 2000, LIMIT_US, spare=spare).replicas for spare in (1, 3))
    assert three - one == 2


def test_a_limit_below_the_service_time_is_answered_with_no() -> None:
    with pytest.raises(AnswerIsNo, match="within 1 ms, however few"):
        replicas_for(EXPONENTIAL, "m", 100, 1000.0)
    with pytest.raises(UsageError):
        replicas_for(EXPONENTIAL, "m", 0, LIMIT_US)
