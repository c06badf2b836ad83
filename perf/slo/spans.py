"""Which levels are searched, as the options say: "1..64"."""

from __future__ import annotations

import math

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.load import MAX_LOAD, LoadKind
from tritonsmith.perf.slo.core import Span

DEFAULT_LOW: dict[LoadKind, float] = {"concurrency": 1, "request_rate": 1}
DEFAULT_HIGH: dict[LoadKind, float] = {"concurrency": 1024, "request_rate": 100_000}


def read_spans(concurrency: str | None, request_rate: str | None) -> tuple[Span, ...]:
    """Return what is searched: what is given, else both, the concurrency first, which says where the rate's begins.

    Raises: UsageError.
    """
    if concurrency is None and request_rate is None:
        return (_default("concurrency", 1), _default("request_rate", 0))
    texts: tuple[tuple[LoadKind, str | None], ...] = (("concurrency", concurrency), ("request_rate", request_rate))
    return tuple(_span(kind, text) for kind, text in texts if text is not None)


def _default(kind: LoadKind, start: float) -> Span:
    return Span(kind, DEFAULT_LOW[kind], DEFAULT_HIGH[kind], start)


def _span(kind: LoadKind, text: str) -> Span:
    option = f"--{kind.replace('_', '-')}"
    low, dots, high = text.partition("..")
    if not dots:
        hint = f"write {option} 1..64, or leave it out; without --slo the levels of a list are measured"
        raise UsageError(f"{option}: '{text}' is no range to search with --slo", hint=hint)
    try:
        least, most = float(low), float(high)
    except ValueError:
        least = most = math.nan
    is_whole = kind == "request_rate" or (least % 1 == 0 and most % 1 == 0)
    if not (0 < least < most <= MAX_LOAD[kind] and is_whole):
        raise UsageError(
            f"{option}: '{text}' is no range above 0, up to {MAX_LOAD[kind]:,}", hint=f"write {option} 1..64"
        )
    return Span(kind, least, most, least)
