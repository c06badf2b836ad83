"""How often the gate cries wolf: runs that compare a repository with itself, and what they allow to be said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tritonsmith.perf.gate.core import Word

CONFIDENCE = 0.95


@dataclass(frozen=True)
class SelfTests:
    """The verdicts of so many gates of a repository against itself. Each regress is a false alarm."""

    passed: int
    regressed: int
    inconclusive: int

    @property
    def runs(self) -> int:
        """Return how many there were."""
        return self.passed + self.regressed + self.inconclusive

    @property
    def highest_rate(self) -> float:
        """Return the upper bound of the false-alarm rate, with 95 % confidence."""
        return highest_share(self.regressed, self.runs)

    def __str__(self) -> str:
        """Return the record in one sentence."""
        alarms = f"{self.regressed} false {'alarm' if self.regressed == 1 else 'alarms'} in {self.runs} self-tests"
        unclear = f", {self.inconclusive} inconclusive" if self.inconclusive else ""
        return f"{alarms}{unclear}: with 95% confidence at most {self.highest_rate:.1%} of gates cry wolf"


def count_verdicts(words: Iterable[Word]) -> SelfTests:
    """Return the record of some self-tests' verdicts."""
    counts = Counter(words)
    return SelfTests(counts["pass"], counts["regress"], counts["inconclusive"])


def highest_share(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of a share that was seen `events` times in `trials`; 1 without trials.

    The share at which so few events have a chance of 1 - confidence only. Source: Clopper, Pearson (1934).
    """
    if events >= trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_of_at_most(events, trials, middle) > 1 - confidence else (low, middle)
    return high


def _chance_of_at_most(events: int, trials: int, share: float) -> float:
    """Return P(Binomial(trials, share) <= events), in logarithms so that no number of trials is too many."""
    log_yes, log_no = math.log(share), math.log1p(-share)
    return math.fsum(math.exp(_log_choices(trials, k) + k * log_yes + (trials - k) * log_no) for k in range(events + 1))


def _log_choices(trials: int, k: int) -> float:
    return math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
