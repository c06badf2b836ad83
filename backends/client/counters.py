"""The server's statistics of one model: counters that only grow, and what lies between two readings of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class ModelCounters:
    """One model's counters since it was loaded, its versions added up; times in nanoseconds.

    Phases are counted for each request: five requests in one batch of 1 ms are 5 ms of compute_infer. `busy_ns` is
    counted for each execution, by batch size: the same batch is 1 ms there.
    """

    requests: int
    request_ns: int
    failures: int
    inferences: int  # rows: a request that brings a batch of 8 counts 8
    executions: int
    phase_ns: Mapping[str, int]
    batch_sizes: Mapping[int, int]  # executions by batch size
    busy_ns: Mapping[int, int]
    cache_hits: int  # requests answered from the response cache; they count as requests, without compute times
    cache_misses: int

    def since(self, earlier: ModelCounters) -> ModelCounters:
        """Return what happened after an earlier reading."""
        return ModelCounters(*(_less(getattr(self, f.name), getattr(earlier, f.name)) for f in fields(self)))


def parse_counters(document: Mapping[str, Any], model: str) -> ModelCounters:
    """Read one model's counters from the JSON of /v2/models/<model>/stats. Numbers may be strings, as in protobuf's."""
    versions = [entry for entry in document.get("model_stats", []) if entry.get("name") == model]
    phases: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    busy: Counter[int] = Counter()
    for entry in versions:
        for phase in PHASES:
            phases[phase] += _number(entry, "inference_stats", phase, "ns")
        for batch in entry.get("batch_stats", []):
            size = int(batch["batch_size"])
            sizes[size] += _number(batch, "compute_infer", "count")
            busy[size] += sum(_number(batch, phase, "ns") for phase in PHASES[1:])
    return ModelCounters(
        requests=sum(_number(entry, "inference_stats", "success", "count") for entry in versions),
        request_ns=sum(_number(entry, "inference_stats", "success", "ns") for entry in versions),
        failures=sum(_number(entry, "inference_stats", "fail", "count") for entry in versions),
        inferences=sum(_number(entry, "inference_count") for entry in versions),
        executions=sum(_number(entry, "execution_count") for entry in versions),
        phase_ns=dict(phases),
        batch_sizes=dict(sizes),
        busy_ns=dict(busy),
        cache_hits=sum(_number(entry, "inference_stats", "cache_hit", "count") for entry in versions),
        cache_misses=sum(_number(entry, "inference_stats", "cache_miss", "count") for entry in versions),
    )


def _less(now: Any, before: Any) -> Any:
    if isinstance(now, Mapping):
        return {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}
    return now - before


def _number(entry: Mapping[str, Any], *path: str) -> int:
    value: Any = entry
    for key in path:
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    return int(value) if value else 0
