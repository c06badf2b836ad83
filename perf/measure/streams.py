"""How answers streamed: first token, time between tokens, tokens per second, and which requests met the goals.

Definitions are those of GenAI-Perf and AIPerf but for two of their traps: everything is computed per request, so that
an answer of a single token, which has no time per token, shifts nobody else's; and a FINAL flag is no token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.measure.profile import Floats, Integers, Profile, TokenSource
from tritonsmith.perf.statistics import quantile

US_PER_MS = 1e3


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of `count` times."""

    count: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float


@dataclass(frozen=True)
class Streams:
    """What one run's streamed answers were like; columns are [requests], in the order of the export.

    `inter_token` is over all responses but each request's first: the time since the one before, per token in it.
    It is None, as are entries of `tpot_us`, where no request had a second response.
    """

    tokens_by: TokenSource
    output_tokens_per_s: float
    ttft_us: tuple[float, ...]  # from sending to the first response
    tpot_us: tuple[float | None, ...]  # from the first to the last response, per token after the first
    latency_us: tuple[float, ...]  # from sending to the last response
    output_tokens: tuple[int, ...]
    ttft: Quantiles
    tpot: Quantiles | None
    inter_token: Quantiles | None


@dataclass(frozen=True)
class Goals:
    """The longest times with which a request is a good one; None where any will do."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    latency_ms: float | None = None

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return self != Goals()

    def __str__(self) -> str:
        return ", ".join(f"{name} {limit:g} ms" for name, limit in self._limits() if limit is not None)

    def _limits(self) -> Iterator[tuple[str, float | None]]:
        yield from (("TTFT", self.ttft_ms), ("TPOT", self.tpot_ms), ("latency", self.latency_ms))


NO_GOALS = Goals()


def measure_streams(profile: Profile) -> Streams:
    """Return what the timestamps say about streamed answers."""
    ttft_us, latency_us, output_tokens = profile.first_response_us, profile.latencies_us, tokens_per_request(profile)
    tpot_us = times_per_token_us(profile, output_tokens)
    gaps_us = gaps_per_token_us(profile)
    return Streams(
        tokens_by=profile.tokens_by,
        output_tokens_per_s=round(float(output_tokens.sum()) / profile.measured_s, 3),
        ttft_us=_rounded(ttft_us),
        tpot_us=tuple(None if np.isnan(one) else round(float(one), 1) for one in tpot_us),
        latency_us=_rounded(latency_us),
        output_tokens=tuple(output_tokens.tolist()),
        ttft=_quantiles(ttft_us),
        tpot=_quantiles_of_any(tpot_us[~np.isnan(tpot_us)]),
        inter_token=_quantiles_of_any(gaps_us),
    )


def tokens_per_request(profile: Profile) -> Integers:
    """Return how many tokens each request was answered with, [requests]."""
    return np.asarray(np.add.reduceat(profile.tokens, profile.last - profile.responses + 1))


def times_per_token_us(profile: Profile, output_tokens: Integers) -> Floats:
    """Return each request's time per output token after the first (TPOT), [requests]; NaN where there is none.

    (latency - TTFT) / (tokens - 1). An answer of one token has none; nor has one in a single response, however many
    tokens it holds: its latency is its TTFT, and nothing tells how long a token took.
    """
    streamed_us = profile.latencies_us - profile.first_response_us
    has_any = (output_tokens > 1) & (profile.responses > 1)
    return np.where(has_any, streamed_us / np.maximum(1, output_tokens - 1), np.nan)


def gaps_per_token_us(profile: Profile) -> Floats:
    """Return the times between a request's responses, each divided by its tokens, [responses after the first].

    A response without a token, e.g. half a character that is held back, counts as one of them.
    """
    gaps_us = np.diff(profile.arrived_ns) / 1e3
    is_within = np.ones(len(profile.arrived_ns), dtype=bool)
    is_within[profile.last - profile.responses + 1] = False  # a request's first response follows another request's last
    return np.asarray((gaps_us / np.maximum(1, profile.tokens[1:]))[is_within[1:]])


def good_requests(streams: Streams, goals: Goals) -> int:
    """Return how many requests met every goal; an answer of a single token has no time per token to miss.

    A time equal to the goal meets it.
    """
    rows = zip(streams.ttft_us, streams.tpot_us, streams.latency_us, strict=True)
    limits = (goals.ttft_ms, goals.tpot_ms, goals.latency_ms)
    return sum(all(_meets(us, limit_ms) for us, limit_ms in zip(row, limits, strict=True)) for row in rows)


def _meets(us: float | None, limit_ms: float | None) -> bool:
    return us is None or limit_ms is None or us <= limit_ms * US_PER_MS


def _quantiles(times_us: Floats) -> Quantiles:
    p50, p90, p99 = (round(quantile(times_us, share), 1) for share in (0.5, 0.9, 0.99))
    return Quantiles(len(times_us), round(float(times_us.mean()), 1), p50, p90, p99)


def _quantiles_of_any(times_us: Floats) -> Quantiles | None:
    return _quantiles(times_us) if len(times_us) else None


def _rounded(times_us: Floats) -> tuple[float, ...]:
    return tuple(round(float(one), 1) for one in times_us)
