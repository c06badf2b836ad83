"""Pairs of a leader and a rival, measured one after the other in fresh generations: what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.statistics.signed_rank import bounds, hodges_lehmann
from tritonsmith.perf.tune.core import Confirmation
from tritonsmith.perf.tune.search.outlook import Outlook

LEVEL = 0.025  # one-sided, of each bound
ENOUGH_PAIRS = 6  # of fewer, ranks alone cannot bound the ratio at that level


@dataclass(frozen=True)
class Pair:
    """Mean scores of two visits, one after the other, each a generation of its own."""

    first: int
    second: int
    difference: float  # of the scores: the first's less the second's


def differences(pairs: Sequence[Pair], first: int, second: int) -> list[float]:
    """Return the score differences of all pairs of the two, whichever came first."""
    turned = [Pair(pair.second, pair.first, -pair.difference) for pair in pairs]
    return [pair.difference for pair in [*pairs, *turned] if (pair.first, pair.second) == (first, second)]


def confirmation(
    pairs: Sequence[Pair], first: int, second: int, names: Sequence[str], outlook: Outlook
) -> Confirmation:
    """Return what the pairs of two candidates say of their ratio.

    From 6 pairs on by signed ranks alone; before, by all that was measured, as it is believed.
    """
    logs = differences(pairs, first, second)
    if len(logs) >= ENOUGH_PAIRS:
        low, high = bounds(logs, LEVEL)
        middle = hodges_lehmann(logs)
    else:
        gaps = outlook.best_scores(first) - outlook.best_scores(second)
        low, middle, high = np.quantile(np.clip(gaps, -5, 5), (LEVEL, 0.5, 1 - LEVEL))
    return Confirmation(names[first], names[second], len(logs), math.exp(middle), (math.exp(low), math.exp(high)))
