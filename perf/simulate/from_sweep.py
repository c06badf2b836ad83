"""Service times from a sweep document, which has each model's mean compute time per request and its batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Cell, Sweep
from tritonsmith.perf.measure.measurement import Latency, Measurement, Step
from tritonsmith.perf.simulate.calibration import OUTSIDE_VARIATION
from tritonsmith.perf.simulate.given_times import Known
from tritonsmith.perf.simulate.outcome import Floats
from tritonsmith.perf.simulate.service import Overhead, ServiceTimes
from tritonsmith.perf.statistics import median

LEAST_RANGE = 1.2  # of mean batch sizes: of those nearer together no slope can be told
LEAST_FACTOR = 0.2  # of a duration
POINTS = 400  # of a distribution that is known by some quantiles


def times_in(sweep: Sweep) -> Known:
    """Return each model's service times, what a request costs outside, and how much durations vary.

    A model's mean time per request, weighted by the rows of the batches it was in, is a + b x where a batch of x rows
    takes a + b x: a line through all cells. Cells with more of its instances than others count not: on a CPU they slow
    each other down. Overhead and variation show where one request was in flight at a time.

    Raises: UsageError where nothing was measured.
    """
    if not sweep.cells:
        raise UsageError("the sweep has measured nothing yet", hint="finish it: the same sweep command goes on")
    models = dict.fromkeys(step.model for cell in sweep.cells for step in cell.measurement.steps if step.executions)
    services = {name: _times_of(list(_steps(sweep.cells, name))) for name in models}
    alone = [cell.measurement for cell in sweep.cells if _is_alone(cell.measurement)]
    if not alone:
        note = "the sweep has no concurrency 1: no overhead, and no variation of durations, is known"
        return Known(services, has_spread=False, notes=(note,))
    shown = sorted(alone, key=lambda m: m.latency.p99_us)[len(alone) // 2]  # a stall in one repeat is left out
    observed = factors_of(shown.latency, [services[step.model].mean_of(1) for step in shown.steps if step.executions])
    services = {name: replace(times, observed=observed) for name, times in services.items()}
    outside_us = median([m.overhead_us + m.client_send_us + m.client_receive_us for m in alone])
    return Known(services, Overhead(outside_us, OUTSIDE_VARIATION))


def factors_of(latency: Latency, means_us: Sequence[float]) -> tuple[float, ...]:
    """Return relative durations of each model, such that together they vary as these latencies do.

    `means_us` are the models' mean durations, one after the other. Between the known quantiles the distribution is
    taken as straight; below the median, as it is above up to p90.
    """
    low_us = 2 * latency.p50_us - latency.p90_us
    known = {0.0: low_us, 0.5: latency.p50_us, 0.9: latency.p90_us, 0.95: latency.p95_us, 0.99: latency.p99_us}
    known[1 - 0.5 / max(latency.requests, 100)] = latency.max_us
    shares = (np.arange(POINTS) + 0.5) / POINTS
    latencies_us: Floats = np.interp(shares, list(known), list(known.values()))
    scale_us = float(np.sqrt(sum(mean * mean for mean in means_us))) or 1.0
    factors = np.maximum(1 + (latencies_us - latencies_us.mean()) / scale_us, LEAST_FACTOR)
    return tuple(np.round(factors / factors.mean(), 4).tolist())


def _times_of(steps: Sequence[Step]) -> ServiceTimes:
    """Return the line through (mean rows of a request's batch, time), each step with the weight of its requests."""
    rows = np.array([_rows_around(step.batch_sizes) for step in steps])
    times_us = np.array([step.compute_input_us + step.compute_infer_us + step.compute_output_us for step in steps])
    weights = np.array([float(step.requests) for step in steps])
    middle, mean_us = float(np.average(rows, weights=weights)), float(np.average(times_us, weights=weights))
    largest = max(size for step in steps for size in step.batch_sizes)
    if max(rows) < LEAST_RANGE * min(rows):
        return ServiceTimes({max(1, round(middle)): mean_us})
    spread = rows - middle
    slope = float(np.sum(weights * spread * (times_us - mean_us)) / np.sum(weights * spread * spread))
    slope = min(max(0.0, slope), mean_us / middle)  # at most proportional, at least the same for all
    first_us = mean_us + slope * (1 - middle)
    return ServiceTimes({1: first_us, largest: first_us + slope * (largest - 1)})


def _rows_around(batch_sizes: Mapping[int, int]) -> float:
    """Return the mean size of the batch that a row was in."""
    rows = sum(size * count for size, count in batch_sizes.items())
    return sum(size * size * count for size, count in batch_sizes.items()) / rows


def _steps(cells: Sequence[Cell], model: str) -> Iterator[Step]:
    field = f"models.{model}.instance_group.count"
    counts = [value for cell in cells if isinstance(value := cell.variant.get(field, 1), int)]
    for cell in cells:
        if cell.variant.get(field, 1) == min(counts, default=1):
            yield from (step for step in cell.measurement.steps if step.model == model and step.batch_sizes)


def _is_alone(measurement: Measurement) -> bool:
    return measurement.load.kind == "concurrency" and measurement.load.value == 1
