"""How late answers of a GPU are that several models share: a bound that adds up model by model.

A GPU is taken to execute one request after the other, as they come, and requests to come at random (Poisson). Then the
share of them that waits longer than t is at most exp(-d t) for every d > 0 with

    sum over models of rate x (E exp(d x seconds) - 1) / d  <=  1

Source: Kingman, A martingale inequality in the theory of queues, Proc. Camb. Phil. Soc. 60 (1964); the terms are
effective bandwidths: Kelly, Notes on effective bandwidths (1996), http://www.statslab.cam.ac.uk/~frank/eb.html.

A model whose requests all take so many seconds, and of which 99 % are to be answered within t, needs
d = ln(100) / (t - seconds): the strictest of those on a GPU sets d for all, and each model takes its term of the sum.
With d = 0 the term is rate x seconds, its share of the GPU's time. Where seconds vary, they are taken to be spread as
the Gamma distribution.

The bound asks for far too much where a limit is hardly longer than a request: at p99 within twice the seconds it allows
a third of the rate. So a GPU is held to the better of it and of the exact share of a queue in which every request takes
as long as the longest (see equal_times): nobody waits less there, and of one model's requests alone it is the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tritonsmith.perf.plan.packing.equal_times import most_rate_per_s, share_within, waits_within_s

_MOST_EXPONENT = 700.0  # exp of more is no float
_HALVINGS = 60


@dataclass(frozen=True)
class Demand:
    """Requests per second that each keep something busy, and the d that their limit needs.

    `busy_s` is the mean, `variation` the standard deviation over it. Of the requests `share` are to wait `wait_s` at
    most; without one they may wait for ever.
    """

    rate_per_s: float
    busy_s: float
    decay_per_s: float = 0.0
    variation: float = 0.0
    wait_s: float = math.inf
    share: float = 0.99

    @property
    def load(self) -> float:
        """The share of time in which they keep it busy."""
        return self.rate_per_s * self.busy_s

    def weight(self, decay_per_s: float) -> float:
        """Return their term of the sum, for a GPU's d."""
        if self.rate_per_s <= 0:
            return 0.0
        exponent = exponent_of(decay_per_s, self.busy_s, self.variation)
        if exponent > _MOST_EXPONENT:
            return math.inf
        return self.rate_per_s * math.expm1(exponent) / decay_per_s if exponent > 0 else self.load

    @property
    def least_weight(self) -> float:
        """Their term at the least, whoever else is there: with what goes together these add up to 1 at most."""
        term = self.weight(self.decay_per_s)
        if self.variation or not self.load or not 0 <= self.wait_s < math.inf:
            return term
        return min(term, self.rate_per_s / most_rate_per_s(self.wait_s, self.busy_s, self.share))


def keep_with_longest(demands: Sequence[Demand]) -> bool:
    """Return whether requests wait no longer than they may even if each takes as long as the longest.

    Of requests whose seconds vary that is not known.
    """
    if any(demand.variation for demand in demands):
        return False
    rate_per_s, busy_s = sum(demand.rate_per_s for demand in demands), max(demand.busy_s for demand in demands)
    limits = {(demand.wait_s, demand.share) for demand in demands if demand.wait_s < math.inf}
    return all(share_within(wait_s, rate_per_s, busy_s) >= share for wait_s, share in limits)


def exponent_of(decay_per_s: float, busy_s: float, variation: float) -> float:
    """Return ln E exp(d x seconds), infinite where seconds vary too much for that d."""
    mean = decay_per_s * busy_s
    if not variation or not math.isfinite(mean):
        return mean
    scaled = mean * variation**2
    return -math.log1p(-scaled) / variation**2 if scaled < 1 else math.inf


def decay_needed(limit_s: float, share: float, busy_s: float = 0.0, variation: float = 0.0) -> float:
    """Return the least d with which `share` of the requests is answered within the limit; infinite where none is."""
    odds = -math.log1p(-share)
    if limit_s == math.inf:
        return 0.0
    if limit_s <= busy_s:
        return math.inf
    if not variation or not busy_s:
        return odds / (limit_s - busy_s)
    best = (1 - busy_s / limit_s) / (busy_s * variation**2)  # of all d the one with which fewest are late
    if best * limit_s - exponent_of(best, busy_s, variation) < odds:
        return math.inf
    return _border(0.0, best, lambda d: d * limit_s - exponent_of(d, busy_s, variation) < odds)[1]


def decay_reached(demands: Iterable[Demand]) -> float:
    """Return the largest d for which the sum is at most 1; infinite where nothing is asked, 0 where too much is."""
    asked = [demand for demand in demands if demand.load > 0]
    if not asked:
        return math.inf
    if sum(demand.load for demand in asked) >= 1:
        return 0.0
    most = _MOST_EXPONENT / max(demand.busy_s for demand in asked)
    return _border(0.0, most, lambda d: sum(demand.weight(d) for demand in asked) <= 1)[0]


def answered_within_s(decay_per_s: float, share: float, busy_s: float = 0.0, variation: float = 0.0) -> float:
    """Return the time within which `share` of the requests is answered, at a GPU that reaches this d, at the latest."""
    if decay_per_s <= 0:
        return math.inf
    if decay_per_s == math.inf and not variation:
        return busy_s
    odds = -math.log1p(-share)
    most = min(decay_per_s, (1 - 1e-9) / (busy_s * variation**2)) if variation and busy_s else decay_per_s
    if most == math.inf:
        return 0.0
    if not variation:
        return busy_s + odds / most

    def within_s(decay: float) -> float:
        return (odds + exponent_of(decay, busy_s, variation)) / decay

    # it falls with d up to some point, and rises from there
    best = _border(most * 1e-6, most, lambda d: within_s(d * (1 + 1e-6)) <= within_s(d))[0]
    return within_s(best)


def waited_with_longest_s(demands: Sequence[Demand], share: float) -> float:
    """Return the time that `share` of the requests waits at most if each takes as long as the longest.

    It is infinite where seconds vary, or where it is longer than is summed up.
    """
    if any(demand.variation for demand in demands):
        return math.inf
    busy_s = max(demand.busy_s for demand in demands)
    return waits_within_s(share, sum(demand.rate_per_s for demand in demands), busy_s)


def _border(low: float, high: float, is_below: Callable[[float], bool]) -> tuple[float, float]:
    """Return the two sides of where something stops being so, it being so at `low`."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return low, high
