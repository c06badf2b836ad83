"""Limits as options spell them: "p99=50ms", "memory=2GiB"; `tune --limit` and `sweep --slo` share them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.spec.tune import LatencyMetric
from tritonsmith.generator.suggest import did_you_mean

TimeMetric = LatencyMetric | Literal["ttft_ms", "tpot_ms"]
LimitMetric = TimeMetric | Literal["memory_mib"]
LATENCIES: tuple[LatencyMetric, ...] = get_args(LatencyMetric)
# Limits on what one request takes, by the name in an option; memory is the server's and does not make an answer late.
TIMES: Mapping[str, TimeMetric] = {
    **{metric.removesuffix("_ms"): metric for metric in LATENCIES},
    "ttft": "ttft_ms",
    "tpot": "tpot_ms",
}
METRICS: Mapping[str, LimitMetric] = {**TIMES, "memory": "memory_mib"}
TIME_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
MEMORY_UNITS_MIB = {"KiB": 2**-10, "MiB": 1.0, "GiB": 2.0**10, "KB": 1e3 / 2**20, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Limit:
    """What must hold. `ttft_ms` and `tpot_ms` are p99s over the requests of a model that streams."""

    metric: LimitMetric
    at_most: float

    def __str__(self) -> str:
        return words_of_limit(self.metric, self.at_most)


def parse_limits(texts: Sequence[str], option: str, metrics: Sequence[str] = tuple(METRICS)) -> tuple[Limit, ...]:
    """Return the limits of "p99=50ms" and the like, each metric once at most; `option` is named where one is wrong.

    Raises: UsageError.
    """
    limits = [parse_limit(text, option, metrics) for text in texts]
    for index, limit in enumerate(limits):
        if limit.metric in {other.metric for other in limits[:index]}:
            raise UsageError(f"{option}: {name_of(limit.metric)} is given twice", hint="give each metric one limit")
    return tuple(limits)


def parse_limit(text: str, option: str, metrics: Sequence[str] = tuple(METRICS)) -> Limit:
    """Return the limit of "p99=50ms"; a unit must stand there.

    Raises: UsageError.
    """
    name, _, quantity = text.partition("=")
    name = name.strip()
    example = f"write {option} {'p99' if 'p99' in metrics else metrics[0]}=50ms"
    if name not in metrics:
        hint = f"there are {', '.join(metrics)}; {example}"
        raise UsageError(f"{option}: '{name}' is nothing to limit.{did_you_mean(name, metrics)}", hint=hint)
    units = TIME_UNITS_MS if name in TIMES else MEMORY_UNITS_MIB
    found = _QUANTITY.fullmatch(quantity)
    size = next((units[unit] for unit in units if found and unit.lower() == found[2].lower()), math.nan)
    value = float(found[1]) * size if found else math.nan
    if not 0 < value < math.inf:
        what = "time" if name in TIMES else "size"
        hint = example if name in TIMES else f"write {option} memory=2GiB"
        raise UsageError(f"{option}: '{text}' has no {what} above 0 with a unit ({', '.join(units)})", hint=hint)
    return Limit(METRICS[name], value)


def words_of_limit(metric: str, at_most: float) -> str:
    """Return "p99 <= 50 ms"."""
    name, _, unit = metric.rpartition("_")
    return f"{name} <= {at_most:g} {unit}"


def name_of(metric: LimitMetric) -> str:
    """Return how an option names a metric: "p99"."""
    return next(name for name, known in METRICS.items() if known == metric)
