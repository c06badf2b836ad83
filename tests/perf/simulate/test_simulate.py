from dataclasses import replace

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import (
    Bursty,
    ClosedLoop,
    DirectSequences,
    DynamicBatching,
    OldestSequences,
    Overhead,
    Poisson,
    QueuePolicy,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
    Traffic,
    cores,
    simulate,
)

SERVICE = ServiceTimes({1: 500.0, 8: 1200.0}, variation=0.4)
PLAIN = SimulatedModel(SERVICE, 8, 2, DynamicBatching())
SYSTEMS = {
    "plain": System({"m": PLAIN}),
    "delayed": System({"m": replace(PLAIN, scheduler=DynamicBatching((4,), 400, preserve_ordering=True))}),
    "policy": System(
        {"m": replace(PLAIN, scheduler=DynamicBatching(default_policy=QueuePolicy("REJECT", 2000, max_queue_size=9)))}
    ),
    "priorities": System({"m": replace(PLAIN, scheduler=DynamicBatching(priority_levels=3, default_priority_level=2))}),
    "direct": System({"m": replace(PLAIN, scheduler=DirectSequences())}),
    "oldest": System({"m": replace(PLAIN, scheduler=OldestSequences(16, (4,), 300))}),
    "limited": System({"m": PLAIN}, limits_rate=True, contention=cores(1), overhead=Overhead(100, 0.5)),
    "ensemble": System({"n": PLAIN, "m": SimulatedEnsemble((Step("n"), Step("n", frozenset([0]))))}),
}
LOADS = {"closed": ClosedLoop(24), "poisson": Poisson(3000), "bursty": Bursty(1500, 4, 0.2)}


@pytest.mark.parametrize("arrivals", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_no_request_is_lost_or_answered_twice(name: str, arrivals: ClosedLoop | Poisson | Bursty) -> None:
    length = 4 if name in ("direct", "oldest") else 0
    outcome = simulate(SYSTEMS[name], Traffic("m", arrivals, sequence_length=length), requests=4000, seed=3)
    assert outcome.answered + outcome.refused >= 4000
    assert outcome.unanswered >= 0
    if isinstance(arrivals, ClosedLoop):
        assert outcome.unanswered <= arrivals.clients
    part = outcome.traffic[0]
    assert (part.answered_ns > part.sent_ns).all()
    assert all(1 <= size <= 8 for model in outcome.models.values() for size in model.batch_sizes)
    assert all(0 <= model.utilization <= 1 + 1e-9 for model in outcome.models.values())


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_seed_decides_everything(name: str) -> None:
    traffic = Traffic("m", Poisson(2000), sequence_length=3 if name in ("direct", "oldest") else 0)
    first, again, other = (simulate(SYSTEMS[name], traffic, requests=1000, seed=seed) for seed in (1, 1, 2))
    assert first.traffic[0].answered_ns.tolist() == again.traffic[0].answered_ns.tolist()
    assert first.models == again.models
    assert first.traffic[0].answered_ns.tolist() != other.traffic[0].answered_ns.tolist()


def test_seconds_bound_the_simulated_time() -> None:
    outcome = simulate(SYSTEMS["plain"], Traffic("m", Poisson(1000)), seconds=5, warmup_share=0.2)
    assert outcome.measured_s == 4
    assert outcome.throughput_per_s == pytest.approx(1000, rel=0.1)


def test_overhead_is_in_the_latency_and_not_in_the_model() -> None:
    system = System({"m": SimulatedModel(ServiceTimes({1: 500}))}, overhead=Overhead(200))
    outcome = simulate(system, Traffic("m", ClosedLoop(1)), requests=100)
    assert outcome.p50_us == 700
    assert outcome.models["m"].utilization == pytest.approx(5 / 7, rel=0.02)


def test_a_handover_comes_on_top_of_every_execution() -> None:
    system = System({"m": SimulatedModel(ServiceTimes({1: 500}, handover_us=500))})
    assert simulate(system, Traffic("m", ClosedLoop(4))).throughput_per_s == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(
    ("traffic", "message"),
    [
        (Traffic("gone", ClosedLoop(1)), "no model 'gone'"),
        (Traffic("m", ClosedLoop(1), rows=9), "9 rows exceed"),
    ],
)
def test_traffic_that_the_system_cannot_take_is_refused(traffic: Traffic, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        simulate(SYSTEMS["plain"], traffic)
    with pytest.raises(UsageError, match="sequence_length"):
        simulate(SYSTEMS["direct"], Traffic("m", ClosedLoop(1)))
