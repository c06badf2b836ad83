"""What a model's simulation needs, from a few short measurements of it (probes) and the server's `batch_stats`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate.outcome import Floats
from tritonsmith.perf.simulate.service import Contention, Overhead, ServiceTimes, service_times

FEWEST = 5  # executions of a batch size, for their mean to count
LEAST_FACTOR = 0.2  # of a duration: a latency can be shorter than the mean overhead
SLOWED = 1.1  # two instances that slow each other down by less do not want the same cores


@dataclass(frozen=True)
class Probe:
    """One closed-loop measurement: the server's counters over it, and the latencies of requests of one row."""

    clients: int
    throughput_per_s: float
    latencies_us: Floats
    counters: ModelCounters


@dataclass(frozen=True)
class Calibration:
    """A model's service times and what its requests cost outside of it."""

    service: ServiceTimes
    overhead: Overhead


def calibrate(probes: Sequence[Probe]) -> Calibration:
    """Return what one instance showed at several concurrencies, 1 among them, the highest more than fill its batches.

    Mean times by batch size are from all probes. At concurrency 1 nothing waits: what a request took beyond the model
    is overhead, and how latencies vary is how durations do. At the highest concurrency the instance never waits for
    requests: what executions do not account for is its turnaround.

    Raises: UsageError.
    """
    probes = sorted(probes, key=lambda probe: probe.clients)
    if not probes or probes[0].clients != 1:
        raise UsageError("no probe at concurrency 1", hint="overhead shows where nothing waits")
    alone, busiest = probes[0], probes[-1]
    service = _pooled([probe.counters for probe in probes])
    alone_us = service_times(alone.counters).mean_of(1)
    overhead_us = max(0.0, float(np.median(alone.latencies_us)) - alone_us)
    factors = np.maximum((alone.latencies_us - overhead_us) / alone_us, LEAST_FACTOR)
    return Calibration(
        replace(service, observed=tuple(factors.tolist()), turnaround_us=_turnaround_us(busiest, overhead_us)),
        Overhead(overhead_us),
    )


def with_contention(service: ServiceTimes, two: ModelCounters) -> tuple[ServiceTimes, Contention]:
    """Return the slowdown that two busy instances' counters show against one's times, and whether there is any."""
    alone_us = sum(count * service.mean_of(size) for size, count in two.batch_sizes.items())
    factor = max(1.0, sum(two.busy_ns.values()) / 1e3 / max(1e-9, alone_us))
    is_contending = factor > SLOWED
    return replace(service, is_contending=is_contending), Contention((1.0, factor if is_contending else 1.0))


def _pooled(all_counters: Sequence[ModelCounters]) -> ServiceTimes:
    counts: Counter[int] = Counter()
    busy_ns: Counter[int] = Counter()
    for counters in all_counters:
        counts.update(counters.batch_sizes)
        busy_ns.update(counters.busy_ns)
    sizes = [size for size, count in sorted(counts.items()) if count >= FEWEST] or sorted(counts)
    if not sizes:
        raise UsageError("the model executed nothing, so there are no service times", hint="send it requests first")
    return ServiceTimes({size: busy_ns[size] / counts[size] / 1e3 for size in sizes})


def _turnaround_us(busiest: Probe, overhead_us: float) -> float:
    counters = busiest.counters
    executions = sum(counters.batch_sizes.values())
    rows = sum(size * count for size, count in counters.batch_sizes.items())
    cycle_us = 1e6 / busiest.throughput_per_s * rows / executions
    mean_us = sum(counters.busy_ns.values()) / executions / 1e3
    return min(max(0.0, cycle_us - mean_us), overhead_us)
