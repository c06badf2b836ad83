from collections.abc import Callable

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import (
    ClosedLoop,
    DynamicBatching,
    QueuePolicy,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
    Trace,
    Traffic,
    simulate,
)

Constant = Callable[[float], ServiceTimes]


def test_steps_follow_one_another_and_branches_run_side_by_side(constant_us: Constant) -> None:
    times_us = {"a": 100, "b": 300, "c": 200, "d": 50}
    models = {name: SimulatedModel(constant_us(time_us)) for name, time_us in times_us.items()}
    after_a = frozenset([0])
    ensemble = SimulatedEnsemble((Step("a"), Step("b", after_a), Step("c", after_a), Step("d", frozenset([1, 2]))))
    outcome = simulate(System({**models, "e": ensemble}), Traffic("e", Trace((0.0,))), warmup_share=0)
    assert outcome.mean_us == 100 + 300 + 50


def test_two_ensembles_queue_for_the_model_they_share(constant_us: Constant) -> None:
    one_step = SimulatedEnsemble((Step("m"),))
    system = System({"m": SimulatedModel(constant_us(100)), "e": one_step, "f": one_step})
    outcome = simulate(system, [Traffic("e", Trace((0.0,))), Traffic("f", Trace((0.0,)))], warmup_share=0)
    assert [part.mean_us for part in outcome.traffic] == [100, 200]
    assert outcome.models["m"].requests == 2


def test_an_ensemble_may_be_a_step(constant_us: Constant) -> None:
    inner = SimulatedEnsemble((Step("m"), Step("m", frozenset([0]))))
    outer = SimulatedEnsemble((Step("inner"), Step("m", frozenset([0]))))
    system = System({"m": SimulatedModel(constant_us(100)), "inner": inner, "outer": outer})
    assert simulate(system, Traffic("outer", Trace((0.0,))), warmup_share=0).mean_us == 300


def test_the_slowest_step_bounds_the_throughput(constant_us: Constant) -> None:
    models = {"a": SimulatedModel(constant_us(100)), "b": SimulatedModel(constant_us(1000), instances=2)}
    ensemble = SimulatedEnsemble((Step("a"), Step("b", frozenset([0]))))
    outcome = simulate(System({**models, "e": ensemble}), Traffic("e", ClosedLoop(8)))
    assert outcome.throughput_per_s == pytest.approx(2000, rel=0.01)
    assert outcome.models["a"].utilization == pytest.approx(0.2, rel=0.02)


def test_a_refused_step_fails_the_request(constant_us: Constant) -> None:
    full = DynamicBatching(default_policy=QueuePolicy(max_queue_size=1))
    models = {"a": SimulatedModel(constant_us(10)), "b": SimulatedModel(constant_us(1000), 1, 1, full)}
    ensemble = SimulatedEnsemble((Step("a"), Step("b", frozenset([0]))))
    trace = Trace((0.0, 20e-6, 40e-6))
    outcome = simulate(System({**models, "e": ensemble}), Traffic("e", trace), warmup_share=0)
    assert (outcome.answered, outcome.refused) == (2, 1)


def test_a_step_that_is_not_described_is_named() -> None:
    with pytest.raises(UsageError, match="'e' needs 'gone'"):
        System({"e": SimulatedEnsemble((Step("gone"),))})
