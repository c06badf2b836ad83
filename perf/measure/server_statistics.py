"""What a measurement makes of the server's counters: the steps, the cache, the time of a request."""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.backends.client.counters import PHASES, ModelCounters
from tritonsmith.perf.measure.measurement import CacheUse, Step


def step_between(model: str, before: ModelCounters, after: ModelCounters) -> Step:
    """Return what the server spent on a model between two readings."""
    spent = after.since(before)
    times = {phase: round(spent.phase_ns.get(phase, 0) / 1e3 / max(1, spent.requests), 1) for phase in PHASES}
    return Step(
        model=model,
        requests=spent.requests,
        executions=spent.executions,
        failures=spent.failures,
        queue_us=times["queue"],
        compute_input_us=times["compute_input"],
        compute_infer_us=times["compute_infer"],
        compute_output_us=times["compute_output"],
        batch_sizes={size: count for size, count in sorted(spent.batch_sizes.items()) if count > 0},
    )


def caches_between(before: Mapping[str, ModelCounters], after: Mapping[str, ModelCounters]) -> tuple[CacheUse, ...]:
    """Return what the response cache did between two readings, for each model that was looked up in it."""
    uses = (
        CacheUse(model, now.cache_hits - before[model].cache_hits, now.cache_misses - before[model].cache_misses)
        for model, now in after.items()
    )
    return tuple(use for use in uses if use.hits or use.misses)


def mean_request_us(before: ModelCounters, after: ModelCounters) -> float:
    """Return the server's mean time per request between two readings, arrival to answer."""
    return (after.request_ns - before.request_ns) / 1e3 / max(1, after.requests - before.requests)
