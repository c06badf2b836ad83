"""From log ratios to a verdict of three values, for one look at the pairs there are.

- regress: for a metric with a tolerance it is shown that it is slower by more than that, Holm's correction included.
- pass: for every one it is shown that it is slower by less than that, and a slowdown of that size would have been seen.
- inconclusive: neither is shown.
Either of the wrong verdicts has a chance of 2 % at most, over all looks: to regress although every metric is within
its tolerance, to pass although one is not. What fails outright regresses, whatever the times say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tritonsmith.perf.gate.core import Comparison, Failure, Tolerance, Verdict, Word
from tritonsmith.perf.gate.spending import ERROR, levels, looks_until
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.statistics.signed_rank import Floats, bounds, hodges_lehmann, margin, p_values_above

# How often the smallest visible slowdown is overlooked. Where that is 5 %, as is the tolerance, 10 % lie 4.65 % beyond
# the tolerance (in logarithms): these are then found nine times in ten.
MISSED = 0.07
LogRatios = Mapping[tuple[str, Load], Sequence[float]]


def judge(
    points: LogRatios,
    tolerances: Sequence[Tolerance],
    *,
    failures: Sequence[Failure] = (),
    refusals: Sequence[str] = (),
    is_last: bool = False,
) -> Verdict:
    """Return the verdict on log ratios by (metric, load), each [pairs]; `is_last` where no more pairs will come."""
    shares = {tolerance.metric: tolerance.share for tolerance in tolerances}
    pairs = min((len(values) for values in points.values()), default=0)
    looks = looks_until(pairs, is_last=is_last)
    deciding = sum(metric in shares for metric, _ in points)
    comparisons = tuple(
        compare(point, np.asarray(values[:pairs], float), shares.get(point[0]), (looks, deciding), is_last=is_last)
        for point, values in points.items()
    )
    comparisons = with_words(comparisons, (looks, deciding), is_last=is_last)
    word, reasons = conclude(comparisons, failures, refusals)
    level = levels(looks, is_last=is_last)[-1] if looks else None
    return Verdict(word, pairs, reasons, comparisons, tuple(failures), tuple(refusals), level, ERROR)


def compare(
    point: tuple[str, Load], values: Floats, share: float | None, family: tuple[tuple[int, ...], int], *, is_last: bool
) -> Comparison:
    """Return what the values [pairs] say of a point; `family` is the looks so far and how many points decide."""
    looks, deciding = family
    level, strictest = _level(looks, 1, is_last=is_last), _level(looks, deciding, is_last=is_last)
    low, high = bounds(values, level) if level else (-math.inf, math.inf)
    return Comparison(
        metric=point[0],
        load=point[1],
        tolerance=share,
        log_ratios=tuple(values.tolist()),
        slowdown=math.exp(hodges_lehmann(values)) if len(values) else 1.0,
        low=_ratio(low),
        high=_ratio(high),
        smallest_visible=_share(smallest_visible_log(values, strictest)) if strictest else None,
        p_value=None if share is None or not len(values) else float(p_values_above(values, math.log1p(share))),
    )


def smallest_visible_log(values: Floats, level: float) -> float:
    """Return the smallest log ratio that would hardly have been missed, as MISSED says; infinite with too few pairs.

    A bound at this level lies a margin below the estimate, and the estimate itself seldom falls short of the truth by
    more than the second margin. Both margins come from the Walsh averages: no distribution is assumed.
    """
    return float(margin(values, level) + margin(values, MISSED))


def with_words(
    comparisons: Sequence[Comparison], family: tuple[tuple[int, ...], int], *, is_last: bool
) -> tuple[Comparison, ...]:
    """Give each deciding comparison its word. Regressions by Holm: the smallest p-value has the strictest level.

    To pass needs no correction, since all have to. Source: Holm (1979); over looks Maurer, Bretz (2013).
    """
    looks, deciding = family
    words: dict[int, Word] = {}
    ranked = sorted((one.p_value, place) for place, one in enumerate(comparisons) if one.p_value is not None)
    for rank, (p_value, place) in enumerate(ranked):
        if p_value > _level(looks, deciding - rank, is_last=is_last):
            break
        words[place] = "regress"
    return tuple(
        replace(one, word=words.get(place) or ("pass" if is_pass(one) else "inconclusive")) if one.decides else one
        for place, one in enumerate(comparisons)
    )


def is_pass(one: Comparison) -> bool:
    """Tell whether the point is within its tolerance, and could not have seemed so by noise alone."""
    if one.tolerance is None or one.high is None or one.smallest_visible is None:
        return False
    return one.high < 1 + one.tolerance and one.smallest_visible <= one.tolerance


def conclude(
    comparisons: Sequence[Comparison], failures: Sequence[Failure], refusals: Sequence[str]
) -> tuple[Word, tuple[str, ...]]:
    """Return the word and why: failures count before refusals, these before what the times say."""
    failed = [str(one) for one in failures if one.side == "candidate"]
    if failed:
        return "regress", tuple(failed)
    spoilt = [*(str(one) for one in failures), *refusals]
    if spoilt:
        return "inconclusive", tuple(spoilt)
    slower = [_why(one) for one in comparisons if one.word == "regress"]
    if slower:
        return "regress", tuple(slower)
    deciding = [one for one in comparisons if one.decides]
    if not deciding:
        return "inconclusive", ("nothing with a tolerance was measured",)
    unclear = [_why(one) for one in deciding if one.word != "pass"]
    return ("inconclusive", tuple(unclear)) if unclear else ("pass", ())


def _why(one: Comparison) -> str:
    """Say in one sentence what stands between a comparison and "pass"."""
    share = one.tolerance or 0.0
    if one.low is None or one.high is None:
        return f"{one.name}: {len(one.log_ratios)} pairs are too few to bound it; a longer --budget-s makes more"
    between = f"{one.slowdown - 1:+.1%} ({one.low - 1:+.1%} to {one.high - 1:+.1%})"
    if one.word == "regress":
        return f"{one.name}: {between}, beyond the tolerance of {share:.1%}"
    if one.smallest_visible is None or one.smallest_visible > share:
        seen = "none" if one.smallest_visible is None else f"{one.smallest_visible:.1%}"
        return f"{one.name}: {between}; the smallest visible slowdown is {seen}, the tolerance {share:.1%}"
    return f"{one.name}: {between}, on both sides of the tolerance of {share:.1%}"


def _level(looks: tuple[int, ...], parts: int, *, is_last: bool) -> float:
    """Return the last look's level where the error is divided among so many; 0 before the first look."""
    return levels(looks, ERROR / max(1, parts), is_last=is_last)[-1] if looks else 0.0


def _ratio(log_ratio: float) -> float | None:
    return math.exp(log_ratio) if math.isfinite(log_ratio) else None


def _share(log_ratio: float) -> float | None:
    return math.expm1(log_ratio) if math.isfinite(log_ratio) else None
