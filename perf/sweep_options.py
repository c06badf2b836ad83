"""The options of the verb sweep, and what each group of them says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.commands import DEFAULT_CONCURRENCY
from tritonsmith.perf.inputs import Inputs
from tritonsmith.perf.levels import parse_levels
from tritonsmith.perf.limits import TIMES, parse_limits
from tritonsmith.perf.measure.lengths import parse_lengths
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.prompting import PromptWishes
from tritonsmith.perf.slo.core import Span
from tritonsmith.perf.slo.spans import read_spans
from tritonsmith.perf.trace import parse_speed, read_trace, replayed_times, require_replayable


@dataclass(frozen=True)
class SweepOptions:
    """The options of the verb, as given."""

    model: str | None
    url: str | None
    grpc_url: str | None
    repository: Path
    concurrency: str | None
    request_rate: str | None
    repeats: int
    window_ms: int
    vary: tuple[str, ...]
    inputs: tuple[str, ...]
    input_data: Path | None
    prompts: Path | None
    prompt_tokens: str | None
    output_tokens: str | None
    tokenizer: Path | None
    goals: tuple[str, ...]
    protocol: Literal["grpc", "http"]
    seed: int
    output: Path
    slo: tuple[str, ...] = ()
    mix: str | None = None
    trace: Path | None = None
    speed: str = "1x"
    price_per_hour: float = 0.0
    executor: Literal["local", "ray", "kubernetes"] = "local"
    ray_address: str | None = None
    workers: int | None = None
    image: str | None = None
    results: str | None = None
    is_sidecar: bool = False


def read_loads(options: SweepOptions) -> tuple[Load, ...]:
    """Return the levels of load, each once; without any, the default concurrencies.

    Raises: UsageError.
    """
    return parse_levels(options.concurrency, options.request_rate, DEFAULT_CONCURRENCY)


def read_replay(options: SweepOptions) -> tuple[float, ...]:
    """Return when the requests of --trace are to be sent, in seconds; nothing without it.

    Raises: UsageError.
    """
    if options.trace is None:
        if options.speed != "1x":
            raise UsageError("--speed is that of a --trace", hint="name one: --trace FILE")
        return ()
    for name in ("concurrency", "request_rate", "slo"):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} and --trace exclude each other", hint="a trace is a load")
    arrivals = read_trace(options.trace)
    require_replayable(arrivals)
    if any(one.prompt_tokens or one.output_tokens for one in arrivals):
        console.say(
            "note: the trace's arrivals are replayed, not its lengths; --prompt-tokens, --output-tokens say them"
        )
    return replayed_times(arrivals, parse_speed(options.speed))


def read_search(options: SweepOptions) -> tuple[dict[str, float], tuple[Span, ...]]:
    """Return the limits of --slo by metric ("p99_ms": 50), and what is searched for them; nothing without --slo.

    Raises: UsageError.
    """
    limits = parse_limits(options.slo, "--slo", tuple(TIMES))
    if not limits:
        return {}, ()
    if options.vary:
        hint = "`tritonsmith tune` finds the best configuration under limits"
        raise UsageError("--slo and --vary exclude each other", hint=hint)
    return {limit.metric: limit.at_most for limit in limits}, read_spans(options.concurrency, options.request_rate)


def read_inputs(options: SweepOptions) -> Inputs:
    """Return what is to be sent.

    Raises: UsageError for lengths that are none.
    """
    prompts = PromptWishes(
        options.prompts,
        parse_lengths(options.prompt_tokens, "--prompt-tokens") if options.prompt_tokens is not None else None,
        parse_lengths(options.output_tokens, "--output-tokens") if options.output_tokens is not None else None,
        options.tokenizer,
        options.seed,
    )
    return Inputs(options.inputs, options.input_data, prompts)


def read_goals(texts: Sequence[str]) -> Goals:
    """Return the goals of `ttft_ms=200`, `tpot_ms=50`, `latency_ms=2000`, each given once at most.

    Raises: UsageError.
    """
    names = [field.name for field in fields(Goals)]
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            hint = f"there are {', '.join(names)}; write --goal {names[0]}=200"
            raise UsageError(f"--goal: '{name}' is no time of an answer.{did_you_mean(name, names)}", hint=hint)
        try:
            limit_ms = float(value)
        except ValueError:
            limit_ms = math.nan
        if not 0 < limit_ms < math.inf or name in limits:
            why = "is given twice" if name in limits else "is no number of milliseconds above 0"
            raise UsageError(f"--goal: '{text}' {why}", hint=f"write --goal {name}=200")
        limits[name] = limit_ms
    return Goals(**limits)
