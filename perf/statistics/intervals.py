"""Statistics of a few noisy repeats: medians, their intervals, robust spread. Only numpy.

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
