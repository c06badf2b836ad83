import pytest

from tritonsmith.backends.client.counters import parse_counters
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import (
    ClosedLoop,
    Contention,
    ServiceTimes,
    SimulatedModel,
    System,
    Traffic,
    service_times,
    simulate,
)
from tritonsmith.perf.simulate import cores as cores_of


def test_times_between_and_beyond_the_table_lie_on_its_lines() -> None:
    service = ServiceTimes({2: 200.0, 4: 300.0, 8: 700.0})
    assert [service.mean_of(rows) for rows in (1, 2, 3, 4, 6, 8, 16)] == [200, 200, 250, 300, 500, 700, 1500]
    assert ServiceTimes({4: 400.0}).mean_of(8) == 800
    with pytest.raises(UsageError):
        ServiceTimes({})


def test_service_times_come_from_the_servers_batch_statistics() -> None:
    def phase(count: int, ns: int) -> dict[str, int]:
        return {"count": count, "ns": ns}

    batches = [
        {
            "batch_size": 1,
            "compute_input": phase(4, 400),
            "compute_infer": phase(4, 4000),
            "compute_output": phase(4, 0),
        },
        {"batch_size": 8, "compute_input": phase(2, 0), "compute_infer": phase(2, 6000), "compute_output": phase(2, 0)},
    ]
    counters = parse_counters({"model_stats": [{"name": "m", "batch_stats": batches}]}, "m")
    assert service_times(counters).mean_us == {1: 1.1, 8: 3.0}
    with pytest.raises(UsageError, match="executed nothing"):
        service_times(parse_counters({}, "m"))


def latency_us(service: ServiceTimes) -> list[float]:
    outcome = simulate(System({"m": SimulatedModel(service)}), Traffic("m", ClosedLoop(1)), requests=20_000)
    latency = outcome.traffic[0].latency_us
    return [float(latency.mean()), float(latency.std())]


def test_durations_have_the_mean_and_the_spread_they_are_given() -> None:
    assert latency_us(ServiceTimes({1: 1000.0}, variation=0.3)) == pytest.approx([1000, 300], rel=0.03)
    assert latency_us(ServiceTimes({1: 1000.0})) == [1000, 0]


def test_observed_durations_are_drawn_with_the_mean_of_the_table() -> None:
    mean, spread = latency_us(ServiceTimes({1: 1000.0}, observed=(1.0, 1.0, 1.0, 3.0)))
    assert mean == pytest.approx(1000, rel=0.03)
    assert spread == pytest.approx(1000 * 3**0.5 / 3, rel=0.03)


def test_a_batch_that_takes_nine_times_as_long_varies_a_third_as_much() -> None:
    service = ServiceTimes({1: 1000.0, 8: 9000.0}, observed=(1.0, 1.0, 1.0, 3.0))
    spreads = []
    for rows in (1, 8):
        system = System({"m": SimulatedModel(service, max_batch_size=8)})
        latency_us = simulate(system, Traffic("m", ClosedLoop(1), rows), requests=20_000).traffic[0].latency_us
        spreads.append(latency_us.std() / latency_us.mean())
    assert spreads[0] / spreads[1] == pytest.approx(3, rel=0.05)


def test_executions_share_the_cores() -> None:
    assert [cores_of(2).factor(busy) for busy in (1, 2, 3, 4)] == [1, 1, 1.5, 2]
    assert [Contention((1.0, 1.3)).factor(busy) for busy in (1, 2, 4)] == [1, 1.3, 2.6]
    model = SimulatedModel(ServiceTimes({1: 1000.0}), instances=4)
    sleeping = SimulatedModel(ServiceTimes({1: 1000.0}, is_contending=False), instances=4)
    for described, expected in ((model, 2000), (sleeping, 4000)):
        system = System({"m": described}, contention=cores_of(2))
        measured = simulate(system, Traffic("m", ClosedLoop(4))).throughput_per_s
        assert measured == pytest.approx(expected, rel=0.01)
