import math

import pytest

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.simulate import (
    ClosedLoop,
    DynamicBatching,
    QueuePolicy,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
    Traffic,
    highest_rate,
    replicas_for,
    simulate,
)

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


def test_without_any_wait_a_quantile_holds_up_to_the_share_that_arrives_at_an_idle_instance() -> None:
    constant = System({"m": SimulatedModel(ServiceTimes({1: 1000.0}))})  # M/D/1: 1 % finds it busy at a load of 1 %
    assert highest_rate(constant, "m", 1000.0) == pytest.approx(10, rel=0.1)


def test_a_limit_that_only_an_idle_system_keeps_is_answered_with_no() -> None:
    idle = simulate(EXPONENTIAL, Traffic("m", ClosedLoop(1, 1e6)), requests=40_000)
    with pytest.raises(AnswerIsNo, match="however few"):
        highest_rate(EXPONENTIAL, "m", idle.p99_us)


def test_a_fleet_of_one_is_enough_for_little_and_none_need_be_spare() -> None:
    size = replicas_for(EXPONENTIAL, "m", 1.0, LIMIT_US, spare=0)
    assert (size.replicas, size.rate_per_replica) == (1, 1.0)
    assert size.latency_us == size.latency_all_up_us


def test_a_rate_that_one_replica_just_answers_needs_no_second() -> None:
    highest = highest_rate(EXPONENTIAL, "m", LIMIT_US)
    counts = [replicas_for(EXPONENTIAL, "m", rate, LIMIT_US, spare=0).replicas for rate in (highest, 1.01 * highest)]
    assert counts == [1, 2]


def test_refused_requests_count_against_the_limit() -> None:
    short = DynamicBatching(default_policy=QueuePolicy(max_queue_size=1))
    service = ServiceTimes({1: 1000.0})
    limited, free = (System({"m": SimulatedModel(service, 1, 1, one)}) for one in (short, DynamicBatching()))
    assert (
        1 < highest_rate(limited, "m", 1e9) < 10
    )  # what waits behind it stays until the next comes, and is in its way
    assert highest_rate(free, "m", 1e9) > 900


def test_the_slowest_step_limits_an_ensemble() -> None:
    models = {name: SimulatedModel(ServiceTimes({1: time_us}, 0.1)) for name, time_us in (("a", 1000.0), ("b", 400.0))}
    steps = (Step("b"), Step("a", frozenset({0})), Step("b", frozenset({1})), Step("b", frozenset({2})))
    system = System({**models, "e": SimulatedEnsemble(steps)})
    assert 0.9 * 833 < highest_rate(system, "e", 100_000.0) < 833  # three times 400 us
