"""The server's statistics API: cumulative counters, and what happened between two readings of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonsmith.perf.measure.measurement import CacheUse, Step

PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class ModelCounters:
    """One model's counters since it was loaded, its versions added up; times in nanoseconds."""

    requests: int
    request_ns: int
    failures: int
    executions: int
    phase_ns: Mapping[str, int]
    batch_sizes: Mapping[int, int]
    cache_hits: int  # requests answered from the response cache; they count as requests, without compute times
    cache_misses: int


def parse_counters(document: Mapping[str, Any], model: str) -> ModelCounters:
    """Read one model's counters from the JSON of /v2/models/<model>/stats. Numbers may be strings, as in protobuf's."""
    versions = [entry for entry in document.get("model_stats", []) if entry.get("name") == model]
    phases: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    for entry in versions:
        for phase in PHASES:
            phases[phase] += _number(entry, "inference_stats", phase, "ns")
        for batch in entry.get("batch_stats", []):
            sizes[int(batch["batch_size"])] += _number(batch, "compute_infer", "count")
    return ModelCounters(
        requests=sum(_number(entry, "inference_stats", "success", "count") for entry in versions),
        request_ns=sum(_number(entry, "inference_stats", "success", "ns") for entry in versions),
        failures=sum(_number(entry, "inference_stats", "fail", "count") for entry in versions),
        executions=sum(_number(entry, "execution_count") for entry in versions),
        phase_ns=dict(phases),
        batch_sizes=dict(sizes),
        cache_hits=sum(_number(entry, "inference_stats", "cache_hit", "count") for entry in versions),
        cache_misses=sum(_number(entry, "inference_stats", "cache_miss", "count") for entry in versions),
    )


def step_between(model: str, before: ModelCounters, after: ModelCounters) -> Step:
    """Return what the server spent on a model between two readings."""
    requests = after.requests - before.requests
    times = {
        phase: round((after.phase_ns.get(phase, 0) - before.phase_ns.get(phase, 0)) / 1e3 / max(1, requests), 1)
        for phase in PHASES
    }
    sizes = {size: count - before.batch_sizes.get(size, 0) for size, count in sorted(after.batch_sizes.items())}
    return Step(
        model=model,
        requests=requests,
        executions=after.executions - before.executions,
        failures=after.failures - before.failures,
        queue_us=times["queue"],
        compute_input_us=times["compute_input"],
        compute_infer_us=times["compute_infer"],
        compute_output_us=times["compute_output"],
        batch_sizes={size: count for size, count in sizes.items() if count > 0},
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


def composing_models(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the models of an ensemble's steps, each once, in the order of the steps; none for another model."""
    steps = config.get("ensemble_scheduling", {}).get("step", [])
    return tuple(dict.fromkeys(str(step["model_name"]) for step in steps))


def _number(entry: Mapping[str, Any], *path: str) -> int:
    value: Any = entry
    for key in path:
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    return int(value) if value else 0
