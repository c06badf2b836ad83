"""The `nv_trt_llm_*` metrics of TensorRT-LLM's backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from ..request import Counters
from .triton import Triton

BUCKETS = [10, 50, 100, 500, 1000]


@dataclass(frozen=True)
class Lengths:
    """Of an answered request: tokens of its prompt and of its answer."""

    prompt: int
    answer: int


@dataclass(frozen=True)
class Gauges:
    """A family of gauges: each label value with what it shows."""

    description: str
    label: str
    values: Mapping[str, Callable[[Counters], float]]


GAUGES: Mapping[str, Gauges] = {
    "nv_trt_llm_request_metrics": Gauges(
        "TRT LLM request metrics",
        "request_type",
        {
            "active": lambda c: c.active,
            "max": lambda c: c.max_active,
            "scheduled": lambda c: c.scheduled,
            "context": lambda c: c.context,
            "waiting": lambda c: c.waiting,
        },
    ),
    "nv_trt_llm_runtime_memory_metrics": Gauges(
        "TRT LLM runtime memory metrics",
        "memory_type",
        {
            "cpu": lambda c: c.memory_bytes.get("cpu", 0),
            "gpu": lambda c: c.memory_bytes.get("gpu", 0),
            "pinned": lambda c: c.memory_bytes.get("pinned", 0),
        },
    ),
    "nv_trt_llm_kv_cache_block_metrics": Gauges(
        "TRT LLM KV cache block metrics",
        "kv_cache_block_type",
        {
            "max": lambda c: c.max_blocks,
            "free": lambda c: c.free_blocks,
            "used": lambda c: c.used_blocks,
            "tokens_per": lambda c: c.tokens_per_block,
            "reused": lambda c: c.reused_blocks,
            "fraction": lambda c: c.used_blocks / c.max_blocks if c.max_blocks else 0.0,
        },
    ),
    "nv_trt_llm_inflight_batcher_metrics": Gauges(
        "TRT LLM inflight_batcher-specific metrics",
        "inflight_batcher_specific_metric",
        {
            "total_context_tokens": lambda c: c.context_tokens,
            "generation_requests": lambda c: c.generating,
            "micro_batch_id": lambda c: 0,  # one pipeline stage
            "paused_requests": lambda c: c.paused,
        },
    ),
    "nv_trt_llm_general_metrics": Gauges(
        "General TRT LLM metrics", "general_type", {"iteration_counter": lambda c: c.iterations}
    ),
}
HISTOGRAMS = {"nv_llm_input_token_len": "total_input_tokens", "nv_llm_output_token_len": "total_output_tokens"}


class Metrics:
    """The metrics of one model, in the server's registry.

    Setting one is a message to the server and back (about 0.1 ms), so only those that changed are set, and lengths
    wait for the next update.
    """

    def __init__(self, triton: Triton, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self._triton = triton
        self._families: dict[str, Any] = {}  # one that is dropped takes its metrics with it
        self._gauges = [
            (self._metric(name, family.description, {family.label: label}), value)
            for name, family in GAUGES.items()
            for label, value in family.values.items()
        ]
        self._shown = [0.0] * len(self._gauges)
        self._timestamp = self._metric(
            "nv_trt_llm_general_metrics", "General TRT LLM metrics", {"general_type": "timestamp"}
        )
        self._iterations = 0
        self._histograms = [
            self._metric(name, "TRT LLM response metrics", {"response_metric_type": label}, BUCKETS)
            for name, label in HISTOGRAMS.items()
        ]
        self._lengths: SimpleQueue[Lengths] = SimpleQueue()

    def observe(self, lengths: Lengths) -> None:
        """Count an answered request at the next update; returns at once."""
        self._lengths.put(lengths)

    def update(self, counters: Counters) -> None:
        """Show the engine's present state."""
        for place, (metric, value) in enumerate(self._gauges):
            if (now := float(value(counters))) != self._shown[place]:
                metric.set(now)
                self._shown[place] = now
        if counters.iterations != self._iterations:
            self._iterations = counters.iterations
            self._timestamp.set(time.time() * 1e6)  # of the last iteration, in us as the C++ backend has it
        self._observe_lengths()

    def _observe_lengths(self) -> None:
        try:
            while True:
                lengths = self._lengths.get_nowait()
                for metric, value in zip(self._histograms, (lengths.prompt, lengths.answer), strict=True):
                    metric.observe(value)
        except Empty:
            pass

    def _metric(self, name: str, description: str, labels: Mapping[str, str], buckets: list[int] | None = None) -> Any:
        families = self._triton.MetricFamily
        if name not in self._families:
            kind = families.GAUGE if buckets is None else families.HISTOGRAM
            self._families[name] = families(name=name, description=description, kind=kind)
        extra = {} if buckets is None else {"buckets": buckets}
        return self._families[name].Metric(labels={**labels, **self._labels}, **extra)
