"""Levels of load as options spell them: --concurrency 1,2,4 and --request-rate 100,200."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.load import MAX_LOAD, Load, LoadKind


def parse_levels(concurrency: str | None, request_rate: str | None, default: str = "") -> tuple[Load, ...]:
    """Return the levels of "1,2,4" and of "100,200", each once; without any, the concurrencies of `default`.

    Raises: UsageError.
    """
    in_flight = concurrency or ("" if request_rate else default)
    return tuple(dict.fromkeys([*_levels("concurrency", in_flight), *_levels("request_rate", request_rate or "")]))


def _levels(kind: LoadKind, text: str) -> Iterator[Load]:
    for word in filter(None, text.split(",")):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        is_good = 0 < value <= MAX_LOAD[kind] and (kind == "request_rate" or value == int(value))  # not where it is NaN
        if not is_good:
            number = "a whole number" if kind == "concurrency" else "a number"
            limits = f"{number} above 0, up to {MAX_LOAD[kind]:,}"
            raise UsageError(f"--{kind.replace('_', '-')}: '{word}' is not {limits}", hint="e.g. 1,2,4")
        yield Load(kind, value)
