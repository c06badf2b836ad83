"""Statistics of a few noisy repeats: medians, their intervals, robust spread, paired shifts. Only numpy.

Serving latencies on a shared machine are not normal (bursts of stolen CPU), so everything here is distribution-free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
MAD_TO_SIGMA = 1.4826  # the median absolute deviation of a normal distribution is sigma / 1.4826


@dataclass(frozen=True)
class Interval:
    """A confidence interval; `coverage` is the confidence it really has, which few values cannot bring to 95 %."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class Shift:
    """The location of paired differences: Hodges–Lehmann estimate, its exact interval, two-sided p against zero."""

    estimate: float
    interval: Interval
    p_value: float


def median(values: Sequence[float]) -> float:
    """Return the median; the mean of the middle two where their number is even."""
    return float(np.median(np.asarray(values, dtype=float)))


def quantile(values: Sequence[float] | Array, share: float) -> float:
    """Return the smallest observed value that at least `share` of the values do not exceed."""
    return float(np.quantile(np.asarray(values, dtype=float), share, method="inverted_cdf"))


def requests_needed(share: float) -> int:
    """Return how many values the quantile `share` needs to be trusted: ten beyond it (100 for p90, 1,000 for p99)."""
    return math.ceil(round(10 / (1 - share), 6))


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the narrowest symmetric order-statistic interval of the median that has the confidence.

    Where even the whole range has less (5 values: 93.75 %), that range and what it has are returned.
    [x(k), x(n+1-k)] misses the median with probability 2 P(Binomial(n, 1/2) < k), whatever the distribution.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    count = len(ordered)
    tails = np.cumsum([math.comb(count, i) / 2**count for i in range(count // 2 + 1)])
    ranks = [k for k in range(1, (count + 1) // 2 + 1) if 1 - 2 * tails[k - 1] >= confidence]
    rank = max(ranks, default=1)
    coverage = max(0.0, 1 - 2 * float(tails[rank - 1]))
    return Interval(float(ordered[rank - 1]), float(ordered[count - rank]), coverage)


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation that the median absolute deviation stands for; one outlier does not move it."""
    array = np.asarray(values, dtype=float)
    return MAD_TO_SIGMA * float(np.median(np.abs(array - np.median(array))))


def relative_spread(values: Sequence[float]) -> float:
    """Return the spread as a share of the median; infinite where the median is zero."""
    middle = median(values)
    return spread(values) / abs(middle) if middle else math.inf


def paired_shift(differences: Sequence[float], confidence: float = 0.95) -> Shift:
    """Return where paired differences lie: the median of their Walsh averages, with its exact signed-rank interval.

    Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3rd ed., 3.1 to 3.3.
    """
    array = np.asarray(differences, dtype=float)
    first, second = np.triu_indices(len(array))
    walsh = np.sort((array[first] + array[second]) / 2)
    below = np.cumsum(_rank_sum_distribution(np.arange(1, len(array) + 1)))  # below[t] = P(T+ <= t)
    ranks = [k for k in range(1, (len(walsh) + 1) // 2 + 1) if 1 - 2 * below[k - 1] >= confidence - 1e-12]
    rank = max(ranks, default=1)
    interval = Interval(float(walsh[rank - 1]), float(walsh[-rank]), max(0.0, 1 - 2 * float(below[rank - 1])))
    return Shift(float(np.median(walsh)), interval, signed_rank_p(array))


def signed_rank_p(differences: Sequence[float] | Array) -> float:
    """Return the exact two-sided p of Wilcoxon's signed-rank test; zeros are dropped, ties share their mean rank."""
    array = np.asarray(differences, dtype=float)
    array = array[array != 0]
    if not len(array):
        return 1.0
    doubled = _doubled_ranks(np.abs(array))
    probability = _rank_sum_distribution(doubled)
    observed = int(doubled[array > 0].sum())
    lower, upper = probability[: observed + 1].sum(), probability[observed:].sum()
    return min(1.0, 2 * float(min(lower, upper)))


def _doubled_ranks(values: Array) -> Array:
    """Return twice the mean ranks, which are whole numbers also where values tie."""
    ordered = np.sort(values)
    first = np.searchsorted(ordered, values, side="left") + 1
    last = np.searchsorted(ordered, values, side="right")
    return np.asarray(first + last)


def _rank_sum_distribution(ranks: Array) -> Array:
    """Return P(sum of a fair random subset of the ranks = s) for every s."""
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(probability)
        shifted[rank:] = probability[: len(probability) - rank]
        probability = (probability + shifted) / 2
    return probability
