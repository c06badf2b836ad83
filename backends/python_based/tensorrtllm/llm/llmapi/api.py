"""What is used of TensorRT-LLM's LLM API, as types.

Source: TensorRT-LLM: tensorrt_llm/llmapi/llm.py, executor/result.py, sampling_params.py (1.0 to 1.2), and the reference
files by which it keeps that API stable, tests/unittest/api_stability/.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

SamplingParams = Any  # tensorrt_llm.SamplingParams, opaque once it is made
MakeSamplingParams = Callable[..., SamplingParams]


class Logprob(Protocol):
    """The log-probability of one candidate."""

    logprob: float


class TimingMetrics(Protocol):
    """When a request passed each stage, on the monotonic clock."""

    arrival_time: timedelta
    first_scheduled_time: timedelta
    first_token_time: timedelta
    last_token_time: timedelta


class KvCacheMetrics(Protocol):
    """What a request took from the KV cache."""

    num_total_allocated_blocks: int
    num_new_allocated_blocks: int
    num_reused_blocks: int


class RequestPerfMetrics(Protocol):
    """What is measured of a request."""

    timing_metrics: TimingMetrics
    kv_cache_metrics: KvCacheMetrics


class CompletionOutput(Protocol):
    """One generated sequence, so far: all its tokens."""

    token_ids: list[int]
    logprobs: Sequence[Mapping[int, Logprob] | float] | None
    finish_reason: str | None
    request_perf_metrics: RequestPerfMetrics | None


class RequestOutput(Protocol):
    """A request being answered; iterating gives itself after each step, until it is finished."""

    outputs: Sequence[CompletionOutput]
    finished: bool

    def __aiter__(self) -> AsyncIterator[RequestOutput]:
        """Return itself."""

    def abort(self) -> None:
        """End it early; what is left of it follows."""


class Llm(Protocol):
    """`tensorrt_llm.LLM`."""

    def generate_async(
        self, inputs: list[int], sampling_params: SamplingParams | None = None, *, streaming: bool = False
    ) -> RequestOutput:
        """Begin a request; called where an event loop runs."""

    def get_stats(self, timeout: float | None = 2) -> list[dict[str, Any]]:
        """Return what the iterations since the last call were like, oldest first; waits so long for another."""

    def shutdown(self) -> None:
        """End it."""
