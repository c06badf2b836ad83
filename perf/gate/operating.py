"""What the gate does in the long run: how often it says which word, by simulation with the code that decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.gate.decide import MISSED
from tritonsmith.perf.gate.noise import Noise, draw_log_ratios
from tritonsmith.perf.gate.spending import LOOKS, levels
from tritonsmith.perf.statistics.signed_rank import Floats, bounds, margin

CHUNK = 1000  # gates at once: 528 Walsh averages each


@dataclass(frozen=True)
class Characteristics:
    """Shares of so many simulated gates of one metric at one load.

    `seen` are those whose smallest visible slowdown, with all pairs, is within the tolerance, `found` the share of them
    that regress; None where there are none.
    """

    gates: int
    regressed: int
    passed: int
    mean_pairs: float
    seen: int
    found: float | None

    @property
    def regress_share(self) -> float:
        """Return how often it regresses: false alarms where nothing is slower, power where something is."""
        return self.regressed / self.gates

    @property
    def pass_share(self) -> float:
        """Return how often it passes."""
        return self.passed / self.gates


def simulate_gates(noise: Noise, slowdown: float, tolerance: float, gates: int, seed: int) -> Characteristics:
    """Return what so many gates say of a candidate that is so many times slower."""
    log_ratios = draw_log_ratios(noise, slowdown, gates, LOOKS[-1], seed)
    chunks = [judge_many(log_ratios[start : start + CHUNK], tolerance) for start in range(0, gates, CHUNK)]
    words, pairs, visible = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    is_seen = visible <= tolerance
    return Characteristics(
        gates=gates,
        regressed=int((words == 1).sum()),
        passed=int((words == -1).sum()),
        mean_pairs=float(pairs.mean()),
        seen=int(is_seen.sum()),
        found=float((words[is_seen] == 1).mean()) if is_seen.any() else None,
    )


def judge_many(log_ratios: Floats, tolerance: float) -> tuple[Floats, Floats, Floats]:
    """Return for each gate of [gates, 32] its word (1 regress, -1 pass, 0 inconclusive), pairs, and what 32 could see.

    As `decide.judge` of one point with a tolerance at each look in turn, until one decides; a test holds them together.
    """
    gates, limit = len(log_ratios), math.log1p(tolerance)
    words, pairs = np.zeros(gates), np.full(gates, float(LOOKS[-1]))
    is_open = np.ones(gates, dtype=bool)
    for number, look in enumerate(LOOKS, 1):
        level = levels(LOOKS[:number])[-1]
        low, high = bounds(log_ratios[:, :look], level)
        visible = visible_share(log_ratios[:, :look], level)
        word = np.where(low > limit, 1.0, np.where((high < limit) & (visible <= tolerance), -1.0, 0.0))
        is_decided = is_open & (word != 0)
        words[is_decided], pairs[is_decided] = word[is_decided], look
        is_open &= ~is_decided
    return words, pairs, visible


def visible_share(log_ratios: Floats, level: float) -> Floats:
    """Return each gate's smallest visible slowdown as a share, [gates]."""
    return np.asarray(np.expm1(margin(log_ratios, level) + margin(log_ratios, MISSED)))
