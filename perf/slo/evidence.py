"""What counts say of a level: whether the limits hold there, pooled with neighbours that cannot differ so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.document import Cell
from tritonsmith.perf.measure.kept import SHARES
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.slo.core import Judgement, Level, Tally
from tritonsmith.perf.statistics import Interval, student

Z = 1.96  # each bound is missed with 2.5 %
LEAST_WINDOWS_OF_MEAN = 6


@dataclass(frozen=True)
class Share:
    """Requests within a limit of all requests, and an interval for it."""

    value: float
    low: float
    high: float


def wilson(within: float, requests: float) -> Share:
    """Return a share with its score interval. Source: Wilson (1927)."""
    if requests <= 0:
        return Share(0.0, 0.0, 1.0)
    share, square = within / requests, Z * Z
    middle = (share + square / (2 * requests)) / (1 + square / requests)
    half = Z / (1 + square / requests) * math.sqrt(share * (1 - share) / requests + square / (4 * requests**2))
    return Share(share, max(0.0, middle - half), min(1.0, middle + half))


def design_effect(tally: Tally) -> float:
    """Return how many times more the windows differ than independent requests would; at least 1.

    Slow requests come in bursts. Each window's departure from the common share, squared, over what it would be for
    independent requests, on average; 1 where all windows or none are within.
    """
    total, within = sum(tally.requests), sum(tally.within)
    windows = [(n, k) for n, k in zip(tally.requests, tally.within, strict=True) if n]
    share = within / total if total else 0.0
    if len(windows) < 2 or not 0 < share < 1:
        return 1.0
    squares = sum((k - n * share) ** 2 / (n * share * (1 - share)) for n, k in windows)
    return max(1.0, squares / (len(windows) - 1))


def share_of(tally: Tally) -> Share:
    """Return the share of requests within the limit; bursts widen its interval."""
    effect = design_effect(tally)
    return wilson(sum(tally.within) / effect, sum(tally.requests) / effect)


def mean_of(tally: Tally) -> Interval:
    """Return the mean over windows with Student's interval; infinite with too few of them."""
    values = np.asarray([mean for mean, count in zip(tally.mean_ms, tally.requests, strict=True) if count])
    if len(values) < LEAST_WINDOWS_OF_MEAN:
        return Interval(0.0, math.inf, 1.0)
    half = student.quantile(0.975, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(float(values.mean()) - half, float(values.mean()) + half, 0.95)


def judge(levels: Sequence[Level], limits_ms: Mapping[str, float]) -> dict[float, Judgement]:
    """Return by level whether every limit holds there; `levels` are in ascending order."""
    by_metric = [_judgements(levels, metric, limit_ms) for metric, limit_ms in limits_ms.items()]
    judgements = {level.value: _all(judgement[index] for judgement in by_metric) for index, level in enumerate(levels)}
    return _monotone(judgements)


def pooled(tallies: Sequence[Tally]) -> list[Tally]:
    """Return for each level the counts to judge it by; levels are in ascending order.

    More load cannot bring more requests within a limit. Where a higher level has the greater share, what differs is
    noise: both are judged by what was counted of both (pool adjacent violators).
    """
    blocks: list[tuple[Tally, int]] = []
    for tally in tallies:
        blocks.append((tally, 1))
        while len(blocks) > 1 and _share(blocks[-1][0]) > _share(blocks[-2][0]):
            (last, width), (before, earlier) = blocks.pop(), blocks.pop()
            blocks.append((joined([before, last]), width + earlier))
    return [tally for tally, width in blocks for _ in range(width)]


def joined(tallies: Iterable[Tally]) -> Tally:
    """Return the windows of several tallies as one."""
    all_ = list(tallies)
    return Tally(
        tuple(count for one in all_ for count in one.requests),
        tuple(count for one in all_ for count in one.within),
        tuple(mean for one in all_ for mean in one.mean_ms),
    )


def levels_of(cells: Iterable[Cell], failures: Mapping[Load, str], kind: str) -> list[Level]:
    """Return what is known of each level of a kind of load, in ascending order."""
    by_load: dict[Load, list[Cell]] = {}
    for cell in cells:
        if cell.measurement.load.kind == kind:
            by_load.setdefault(cell.measurement.load, []).append(cell)
    refused = [Level(load.value, 0, {}, failure=why) for load, why in failures.items() if load.kind == kind]
    measured = [_level(load, ones) for load, ones in by_load.items() if load not in failures]
    return sorted([*refused, *measured], key=lambda level: level.value)


def _level(load: Load, cells: Sequence[Cell]) -> Level:
    tallies: dict[str, list[Tally]] = {}
    for kept in (kept for cell in cells for kept in cell.measurement.kept):
        tallies.setdefault(kept.metric, []).append(Tally(kept.requests, kept.within, kept.mean_ms))
    behind = sum(cell.measurement.is_generator_behind for cell in cells)
    return Level(
        load.value, len(cells), {name: joined(ones) for name, ones in tallies.items()}, 2 * behind < len(cells)
    )


def _judgements(levels: Sequence[Level], metric: str, limit_ms: float) -> list[Judgement]:
    measured = [level for level in levels if not level.failure]
    tallies = dict(zip((one.value for one in measured), pooled([one.tallies[metric] for one in measured]), strict=True))
    return ["fails" if one.failure else _judgement(tallies[one.value], metric, limit_ms, one.is_held) for one in levels]


def _judgement(tally: Tally, metric: str, limit_ms: float, is_held: bool) -> Judgement:
    if metric == "mean_ms":
        mean = mean_of(tally)
        holds, fails = mean.high <= limit_ms, mean.low > limit_ms
    else:
        share = share_of(tally)
        holds, fails = share.low >= SHARES[metric], share.high < SHARES[metric]
    if fails:
        return "fails"
    return "holds" if holds and is_held else "open"


def _all(judgements: Iterable[Judgement]) -> Judgement:
    found = set(judgements)
    return "fails" if "fails" in found else "open" if "open" in found else "holds"


def _monotone(judgements: Mapping[float, Judgement]) -> dict[float, Judgement]:
    """Carry what is known: below a level that holds all hold, above one that fails all fail."""
    holding = max((value for value, judgement in judgements.items() if judgement == "holds"), default=-math.inf)
    failing = min((value for value, judgement in judgements.items() if judgement == "fails"), default=math.inf)
    return {value: _carried(value, judgement, holding, failing) for value, judgement in judgements.items()}


def _carried(value: float, judgement: Judgement, holding: float, failing: float) -> Judgement:
    if judgement != "open" or holding < value < failing:
        return judgement
    return "holds" if value < holding else "fails"


def _share(tally: Tally) -> float:
    total = sum(tally.requests)
    return sum(tally.within) / total if total else 0.0
