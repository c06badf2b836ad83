"""What one replica does when it always has as many requests in flight as it holds, with an honest interval."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import Figure, LanguageModel, Memory, Serving, StepTimes, Throughput, Traffic

# Of step times that do not know how far off they are: a factor of two.
UNKNOWN_INTERVAL = (2**-0.5, 2**0.5)
MS_PER_S = 1e3
TOO_SMALL = "the cache holds "  # how the problem of a way begins whose cache is too small for a request


@runtime_checkable
class Judged(StepTimes, Protocol):
    """Step times that know how far off a throughput is that follows from them."""

    @property
    def interval(self) -> tuple[float, float]:
        """Shares of an estimate between which the truth lies four times in five."""
        ...


def throughput(
    times: StepTimes, model: LanguageModel, serving: Serving, memory: Memory, traffic: Traffic
) -> Throughput:
    """Return what a replica does under full load: a request that is answered is followed by another at once.

    While each sequence in flight gets its `output_tokens`, one step each, as many prompts are read as sequences leave:
    `output_tokens x decode + sequences x prefill` seconds for `sequences` requests.

    Raises: UsageError where the longest request exceeds the model's positions, or what the cache holds.
    """
    require_positions(model, traffic)
    _require_room(memory, traffic)
    sequences = sequences_in_flight(serving, memory, traffic)
    decode_s = times.decode_s(sequences, traffic.input_tokens + traffic.output_tokens / 2)
    cycle_s = traffic.output_tokens * decode_s + sequences * prompt_s(times, serving, traffic, sequences)
    first_s = first_token_s(times, serving, traffic, decode_s)
    low, high = times.interval if isinstance(times, Judged) else UNKNOWN_INTERVAL
    source = f"{sequences} sequences in flight; {times.source}"

    def rate(value: float) -> Figure:
        return Figure(value, value * low, value * high, source)

    def duration(value: float) -> Figure:
        return Figure(value * MS_PER_S, value * MS_PER_S / high, value * MS_PER_S / low, source)

    return Throughput(
        tokens_per_s=rate(sequences * traffic.output_tokens / cycle_s),
        requests_per_s=rate(sequences / cycle_s),
        ttft_ms=duration(first_s),
        tpot_ms=duration(cycle_s / traffic.output_tokens),
        sequences=sequences,
    )


def sequences_in_flight(serving: Serving, memory: Memory, traffic: Traffic) -> int:
    """Return how many requests a replica holds at once: room is kept for all that each may generate."""
    held = memory.kv_tokens.value / (traffic.input_tokens + traffic.output_tokens)
    return max(1, min(serving.max_batch_size, math.floor(held)))


def prompt_s(times: StepTimes, serving: Serving, traffic: Traffic, sequences: int) -> float:
    """Return what a prompt costs the replica: short ones share a step, long ones are cut at `max_num_tokens`."""
    cached = traffic.input_tokens * traffic.prefix_share
    tokens = max(1.0, traffic.input_tokens - cached)
    if tokens > serving.max_num_tokens:
        chunks = math.ceil(tokens / serving.max_num_tokens)
        chunk = tokens / chunks
        return chunks * times.prefill_s(chunk, cached + (tokens - chunk) / 2)
    together = max(1, min(int(serving.max_num_tokens // tokens), sequences))
    return times.prefill_s(together * tokens, cached + (1 - together) * tokens / 2) / together


def first_token_s(times: StepTimes, serving: Serving, traffic: Traffic, decode_s: float) -> float:
    """Return when a request that does not wait has its first token: its prompt's steps, each beside a decoding one.

    A prompt passes all stages of a pipeline, and its rank of attention's data parallelism reads it alone.
    """
    cached = traffic.input_tokens * traffic.prefix_share
    tokens = max(1.0, traffic.input_tokens - cached)
    ranks = serving.spread.data
    chunks = math.ceil(tokens / serving.max_num_tokens)
    chunk = tokens / chunks
    step_s = times.prefill_s(ranks * chunk, cached + tokens / 2 - ranks * chunk / 2)
    return chunks * (step_s * serving.spread.pipeline + decode_s)


def require_positions(model: LanguageModel, traffic: Traffic) -> None:
    """Refuse requests that no replica of a model can answer, on whatever GPUs.

    Raises: UsageError where the longest request exceeds the model's positions.
    """
    if model.max_positions and traffic.longest > model.max_positions:
        asked = f"{_request(traffic)} of {traffic.longest:,} tokens is longer"
        raise UsageError(f"{asked} than the {model.max_positions:,} positions of {model.name}", hint=shorter(traffic))


def _require_room(memory: Memory, traffic: Traffic) -> None:
    if memory.kv_tokens.value < traffic.longest:
        raise UsageError(
            f"{TOO_SMALL}{memory.kv_tokens.value:,.0f} tokens, {_request(traffic)} takes {traffic.longest:,}",
            hint=f"use more GPUs for a replica, a smaller cache type, or {shorter(traffic)}",
        )


def _request(traffic: Traffic) -> str:
    return "the longest recorded request" if traffic.arrivals else "a request"


def shorter(traffic: Traffic) -> str:
    """Return what helps where the longest request is too long."""
    return "leave longer requests out of the trace" if traffic.arrivals else "ask for a shorter --input or --output"
