from dataclasses import replace

import numpy as np
import pytest

from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import (
    ClosedLoop,
    DynamicBatching,
    Overhead,
    ServiceTimes,
    SimulatedModel,
    System,
    Traffic,
    cores,
    simulate,
)
from tritonsmith.perf.simulate.calibration import Probe, calibrate, with_contention

TRUE_US = {1: 1000.0, 8: 1700.0}
SERVICE = ServiceTimes(TRUE_US, variation=0.2, handover_us=150)


def counters_of(sizes: dict[int, int], slowdown: float = 1.0) -> ModelCounters:
    busy = {size: int(count * SERVICE.mean_of(size) * 1e3 * slowdown) for size, count in sizes.items()}
    return ModelCounters(0, 0, 0, 0, 0, {}, sizes, busy, 0, 0)


def probe(clients: int) -> Probe:
    system = System({"m": SimulatedModel(SERVICE, 8, 1, DynamicBatching())}, overhead=Overhead(300))
    outcome = simulate(system, Traffic("m", ClosedLoop(clients)), requests=5000)
    sizes = dict(outcome.models["m"].batch_sizes)
    return Probe(clients, outcome.throughput_per_s, outcome.traffic[0].latency_us, counters_of(sizes))


def test_what_was_simulated_is_found_again() -> None:
    found = calibrate([probe(clients) for clients in (1, 4, 24)])
    assert found.overhead.mean_us == pytest.approx(300, abs=30)
    assert found.service.handover_us == pytest.approx(150, abs=20)
    assert [found.service.mean_of(size) for size in (1, 8)] == pytest.approx([1000, 1700], rel=0.01)
    assert float(np.std(found.service.observed)) == pytest.approx(0.2, rel=0.1)


def test_two_busy_instances_show_their_slowdown() -> None:
    service, contention = with_contention(SERVICE, [counters_of({1: 10, 8: 50}, slowdown=1.5)] * 3)
    assert service.is_contending
    assert contention.factors == pytest.approx((1.0, 1.5), rel=1e-3)
    service, contention = with_contention(SERVICE, [counters_of({8: 50}, slowdown=slow) for slow in (1.02, 1.0, 9.0)])
    assert (service.is_contending, contention) == (False, cores(2))


def test_one_disturbed_probe_of_three_changes_little() -> None:
    probes = [probe(clients) for clients in (1, 24) for _ in range(3)]
    disturbed = replace(probes[0], counters=counters_of({1: 500}, slowdown=5), latencies_us=probes[0].latencies_us * 5)
    found = calibrate([disturbed, *probes[1:]])
    assert found.service.mean_of(1) == pytest.approx(1000, rel=0.01)
    assert found.overhead.mean_us == pytest.approx(300, abs=30)


def test_probes_without_concurrency_1_are_refused() -> None:
    with pytest.raises(UsageError, match="concurrency 1"):
        calibrate([probe(2)])
