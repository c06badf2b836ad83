"""What a model's simulation needs, from a few short measurements of it (probes) and the server's `batch_stats`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate.outcome import Floats
from tritonsmith.perf.simulate.service import Contention, Overhead, ServiceTimes, service_times
from tritonsmith.perf.statistics import median

FEWEST = 5  # executions of a batch size, for their mean to count
LEAST_FACTOR = 0.2  # of a duration: a latency can be shorter than the mean overhead
# Of what a request costs outside of the models. What few requests at a time show is the order in which they arrive
# again after a batch was answered: batches of 1 to 6 rows where 6 clients send, not 1 and 5 in turn.
OUTSIDE_VARIATION = 0.5
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

    Several probes of one concurrency are better than a long one: where they differ, the middle counts. Times by batch
    size are from all probes, that of one row from those at concurrency 1. At the highest concurrency the instance never
    waits for requests: what compute times do not account for is its handover. At concurrency 1 nothing waits: what a
    request took beyond the model is overhead, and how latencies vary is how durations do; of each quantile the probes'
    median counts, so that stalls which few probes had are left out, as they are of a median over repeats.

    Raises: UsageError.
    """
    alone = [probe for probe in probes if probe.clients == 1]
    if not alone:
        raise UsageError("no probe at concurrency 1", hint="overhead shows where nothing waits")
    most = max(probe.clients for probe in probes)
    service = _middle_times([probe.counters for probe in probes])
    alone_us = median([service_times(probe.counters).mean_of(1) for probe in alone])
    latencies_us = _middle_latencies([probe.latencies_us for probe in alone])
    outside_us = max(0.0, median([float(np.mean(probe.latencies_us)) for probe in alone]) - alone_us)
    unaccounted_us = median([_unaccounted_us(probe) for probe in probes if probe.clients == most])
    handover_us = min(unaccounted_us, outside_us)  # the one client that was alone did not wait for it
    factors = np.maximum((latencies_us - outside_us) / alone_us, LEAST_FACTOR)
    means_us = {**service.mean_us, 1: alone_us}  # among other batches one row finds cold caches, and takes longer
    return Calibration(
        replace(service, mean_us=means_us, observed=tuple(factors.tolist()), handover_us=handover_us),
        Overhead(outside_us, OUTSIDE_VARIATION),
    )


def with_contention(service: ServiceTimes, two: Sequence[ModelCounters]) -> tuple[ServiceTimes, Contention]:
    """Return the slowdown that counters of two busy instances show against one's times, and whether there is any."""
    factor = max(1.0, median([slowdown(service, counters) for counters in two]))
    is_contending = factor > SLOWED
    return replace(service, is_contending=is_contending), Contention((1.0, factor if is_contending else 1.0))


def slowdown(service: ServiceTimes, counters: ModelCounters) -> float:
    """Return how many times longer executions took than those of one instance alone."""
    alone_us = sum(count * service.mean_of(size) for size, count in counters.batch_sizes.items())
    return sum(counters.busy_ns.values()) / 1e3 / alone_us if alone_us else 1.0


def _middle_times(all_counters: Sequence[ModelCounters]) -> ServiceTimes:
    """Return for each batch size the median of the probes' means; of probes that executed it often, if there are."""
    means_us: dict[int, list[tuple[int, float]]] = {}
    for counters in all_counters:
        for size, count in counters.batch_sizes.items():
            means_us.setdefault(size, []).append((count, counters.busy_ns.get(size, 0) / count / 1e3))
    often = {size: [mean for count, mean in means if count >= FEWEST] for size, means in means_us.items()}
    kept = {size: means for size, means in often.items() if means}
    kept = kept or {size: [mean for _, mean in means] for size, means in means_us.items()}
    if not kept:
        raise UsageError("the model executed nothing, so there are no service times", hint="send it requests first")
    return ServiceTimes({size: median(means) for size, means in sorted(kept.items())})


def _middle_latencies(probes_us: Sequence[Floats]) -> Floats:
    """Return latencies whose every quantile is the median of the probes'."""
    count = min(map(len, probes_us))
    shares = (np.arange(count) + 0.5) / count
    middle: Floats = np.median([np.quantile(latencies_us, shares) for latencies_us in probes_us], axis=0)
    return middle


def _unaccounted_us(busiest: Probe) -> float:
    """Return the part of an execution's share of the time that is no compute time."""
    counters = busiest.counters
    executions = sum(counters.batch_sizes.values())
    rows = sum(size * count for size, count in counters.batch_sizes.items())
    cycle_us = 1e6 / busiest.throughput_per_s * rows / executions
    mean_us = sum(counters.busy_ns.values()) / executions / 1e3
    return max(0.0, cycle_us - mean_us)
