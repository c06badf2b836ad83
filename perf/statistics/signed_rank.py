"""The Hodges-Lehmann estimate and Wilcoxon's exact signed-rank test, both by Walsh averages. Only numpy.

All functions take log ratios [..., pairs] and work along the last axis, so that a simulation judges thousands of runs
with the code that judges one. They assume nothing of the noise but that it is symmetric and the pairs independent.
Source: Hollander, Wolfe, Nonparametric Statistical Methods, 3.1 to 3.3.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def walsh_averages(log_ratios: npt.ArrayLike) -> Floats:
    """Return the means of every two values, each value with itself included, in order: [..., n (n + 1) / 2]."""
    values = np.asarray(log_ratios, dtype=float)
    first, second = np.triu_indices(values.shape[-1])
    return np.sort((values[..., first] + values[..., second]) / 2, axis=-1)


def hodges_lehmann(log_ratios: npt.ArrayLike) -> Any:
    """Return the median of the Walsh averages, [...]: the middle of the values, which one outlier does not move."""
    return np.median(walsh_averages(log_ratios), axis=-1)


@lru_cache(maxsize=128)
def upper_tails(pairs: int) -> Floats:
    """Return P(T >= t) for t = 0 to n (n + 1) / 2, where T sums the ranks of the positive values and none is favoured.

    Each rank from 1 to n is in the sum or not, with equal chances: the number of subsets by their sum.
    """
    counts = np.zeros(pairs * (pairs + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, pairs + 1):
        counts[rank:] += counts[:-rank].copy()
    tails = np.asarray(np.cumsum(counts[::-1])[::-1] / 2.0**pairs)
    tails.flags.writeable = False
    return tails


def p_values_above(log_ratios: npt.ArrayLike, limit: float) -> Any:
    """Return the exact one-sided p-values, [...], of the claim that the middle of the values lies above the limit.

    T is the number of Walsh averages above the limit. Ties and values on the limit all count against the claim: T is
    then not above what any way of breaking them would give, so that no p-value is too small.
    """
    values = np.asarray(log_ratios, dtype=float)
    above = np.count_nonzero(walsh_averages(values) > limit, axis=-1)
    return upper_tails(values.shape[-1])[above]


def depth(pairs: int, level: float) -> int:
    """Return which Walsh average from either end bounds the middle with one-sided error `level` at most; 0: none does.

    The bound is the k-th smallest for the largest k with P(T >= n (n + 1) / 2 + 1 - k) <= level.
    """
    return int(np.count_nonzero(upper_tails(pairs) <= level))


def bounds(log_ratios: npt.ArrayLike, level: float) -> tuple[Any, Any]:
    """Return the lower and the upper bound of the middle, each [...] and with one-sided error `level` at most.

    Infinite where so few values cannot bound it: 7 values or fewer at 0.5 %. The lower bound is above a limit exactly
    where `p_values_above` that limit is at most the level.
    """
    averages = walsh_averages(log_ratios)
    k = depth(np.asarray(log_ratios).shape[-1], level)
    if not k:
        unbounded = np.full(averages.shape[:-1], np.inf)
        return -unbounded, unbounded
    return averages[..., k - 1], averages[..., -k]


def margin(log_ratios: npt.ArrayLike, level: float) -> Any:
    """Return half the distance between the two bounds, [...]: how far chance moves the estimate at that level."""
    low, high = bounds(log_ratios, level)
    return (high - low) / 2
