"""Service times as an option spells them: "1=2ms,8=4.8ms,~20%", for one of several models "NAME:1=2ms"."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.limits import TIME_UNITS_MS
from tritonsmith.perf.simulate.service import Overhead, ServiceTimes
from tritonsmith.perf.simulate.system import NO_OVERHEAD

OPTION = "--service"
EXAMPLE = f"write {OPTION} 1=2ms,8=4.8ms,~20%, or {OPTION} NAME:1=2ms: rows=time, and how much it varies"
LARGEST_ROWS = 1 << 20
MOST_SPREAD = 10.0
_TEXT = re.compile(r"(?:([A-Za-z0-9_.-]+):)?((?:\d+=|~).*)", re.DOTALL)
_TIME = re.compile(r"(\d+)=(\d*\.?\d+)(us|ms|s)")
_SPREAD = re.compile(r"~(\d*\.?\d+)%")


@dataclass(frozen=True)
class Known:
    """What is known of models' times: by model, what a request costs outside of them, and what is to be said of it.

    `has_spread` where it is known how much durations vary.
    """

    services: Mapping[str, ServiceTimes] = field(default_factory=dict)
    overhead: Overhead = NO_OVERHEAD
    has_spread: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenTimes:
    """One option: the model, "" for the only one; mean microseconds by rows; the spread, None where it is not given."""

    model: str
    mean_us: Mapping[int, float]
    variation: float | None = None


def is_given(text: str) -> bool:
    """Return whether a text is service times by hand rather than the path of a document."""
    return bool(_TEXT.fullmatch(text.strip()))


def parse_times(text: str) -> GivenTimes:
    """Read "NAME:1=2ms,8=4.8ms,~20%"; the name, and either the times or the spread, may be left out.

    Raises: UsageError.
    """
    found = _TEXT.fullmatch(text.strip())
    means_us: dict[int, float] = {}
    spread: float | None = None
    for word in found[2].split(",") if found else [text]:
        time, share = _TIME.fullmatch(word.strip()), _SPREAD.fullmatch(word.strip())
        if time and 0 < int(time[1]) <= LARGEST_ROWS and int(time[1]) not in means_us and float(time[2]) > 0:
            means_us[int(time[1])] = float(time[2]) * TIME_UNITS_MS[time[3]] * 1e3
        elif share and spread is None and float(share[1]) / 100 <= MOST_SPREAD:
            spread = float(share[1]) / 100
        else:
            raise UsageError(f"{OPTION}: '{word}' is no rows=time with a unit (us, ms, s), each once", hint=EXAMPLE)
    return GivenTimes((found and found[1]) or "", means_us, spread)


def with_given(known: Known, given: Iterable[GivenTimes], models: Sequence[str]) -> Known:
    """Return what is known with what was given by hand in its place; `models` are those that compute.

    Raises: UsageError for a name that is none of them, a spread of times that are not known, and where a name lacks.
    """
    services = dict(known.services)
    spreads: set[str] = set()
    for times in given:
        name = _model_of(times, models)
        if times.mean_us:
            services[name] = ServiceTimes(times.mean_us, times.variation or 0.0)
        elif name not in services:
            raise UsageError(f"{OPTION}: how much '{name}' varies is given, but not how long it takes", hint=EXAMPLE)
        else:
            services[name] = replace(services[name], variation=times.variation or 0.0, observed=())
        if times.variation is not None or times.mean_us:
            spreads.add(name)
    return replace(known, services=services, has_spread=known.has_spread or spreads.issuperset(models))


def require_times(known: Known, models: Sequence[str], limits: Mapping[str, int]) -> tuple[str, ...]:
    """Return what to say of models whose times are known for few batch sizes; `limits` are their max_batch_sizes.

    Raises: UsageError where a model's times are not known.
    """
    if missing := [name for name in models if name not in known.services]:
        word = f"{OPTION} {missing[0]}:1=2ms,8=4.8ms" if len(models) > 1 else f"{OPTION} 1=2ms,8=4.8ms"
        hint = f"write {word}, or name a sweep: {OPTION} build/sweep, or a running server: --url HOST:PORT"
        raise UsageError(f"no service times for {', '.join(missing)}", hint=hint)
    return tuple(
        f"{name}: only batches of {next(iter(sizes))} row{'s' * (next(iter(sizes)) > 1)} are known, "
        "larger ones are taken to last as much longer as they are larger"
        for name in models
        if len(sizes := known.services[name].mean_us) == 1 and limits[name] > max(sizes)
    )


def _model_of(times: GivenTimes, models: Sequence[str]) -> str:
    if times.model in models:
        return times.model
    if not times.model and len(models) == 1:
        return models[0]
    if not times.model:
        raise UsageError(f"{OPTION}: of which model? {', '.join(models)} compute", hint=EXAMPLE)
    near = did_you_mean(times.model, models)
    raise UsageError(f"{OPTION}: no model '{times.model}' computes here.{near}", hint=f"there are {', '.join(models)}")


def seconds_text(microseconds: float) -> str:
    """Return a time as the option spells it: "4.8ms"."""
    exponent = min(2, max(0, int(math.log10(microseconds) // 3))) if microseconds > 0 else 0
    return f"{microseconds / 1000**exponent:.3g}{('us', 'ms', 's')[exponent]}"
