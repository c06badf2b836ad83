from collections.abc import Callable

import pytest

from tritonsmith.perf.simulate import (
    ClosedLoop,
    RateLimit,
    ServiceTimes,
    SimulatedModel,
    System,
    Trace,
    Traffic,
    simulate,
)

Constant = Callable[[float], ServiceTimes]


def two_models(service: ServiceTimes, priorities: tuple[int, int] = (1, 1)) -> dict[str, SimulatedModel]:
    return {
        name: SimulatedModel(service, limits=(RateLimit({"R": 1}, priority),))
        for name, priority in zip("ab", priorities, strict=True)
    }


@pytest.mark.parametrize(("limits_rate", "second_us"), [(False, 100), (True, 200)])
def test_models_that_need_the_same_resource_take_turns(
    constant_us: Constant, limits_rate: bool, second_us: float
) -> None:
    system = System(two_models(constant_us(100)), limits_rate=limits_rate)
    outcome = simulate(system, [Traffic("a", Trace((0.0,))), Traffic("b", Trace((0.0,)))], warmup_share=0)
    assert [part.mean_us for part in outcome.traffic] == [100, second_us]


def test_more_of_a_resource_lets_more_run(constant_us: Constant) -> None:
    system = System(two_models(constant_us(100)), limits_rate=True, resources={"R": 2})
    outcome = simulate(system, [Traffic("a", Trace((0.0,))), Traffic("b", Trace((0.0,)))], warmup_share=0)
    assert [part.mean_us for part in outcome.traffic] == [100, 100]


def test_a_priority_of_two_gets_half_the_executions(constant_us: Constant) -> None:
    system = System(two_models(constant_us(100), (1, 2)), limits_rate=True)
    outcome = simulate(system, [Traffic("a", ClosedLoop(4)), Traffic("b", ClosedLoop(4))], requests=3000)
    assert outcome.models["a"].executions == pytest.approx(2 * outcome.models["b"].executions, rel=0.01)


def test_instances_of_one_model_run_together_where_nothing_is_short(constant_us: Constant) -> None:
    system = System({"a": SimulatedModel(constant_us(100), instances=2)}, limits_rate=True)
    outcome = simulate(system, Traffic("a", Trace((0.0, 0.0, 0.0))), warmup_share=0)
    assert outcome.traffic[0].latency_us.tolist() == [100, 100, 200]
