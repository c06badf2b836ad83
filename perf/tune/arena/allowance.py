"""What a calibration can afford of its probes: fewer rounds where time is short, then fewer levels of load.

All is decided on seconds that are written down, so that who is answered from a journal decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """Seconds for a calibration: until `until_s` of what `spent` tells, the arena's time as last written down."""

    spent: Callable[[], float]
    until_s: float = math.inf

    def left_s(self, reserved_s: float = 0.0) -> float:
        """Return the seconds that are left beside those reserved."""
        return self.until_s - self.spent() - reserved_s


@dataclass(frozen=True)
class Plan:
    """Which probes are made of one way to compute: rounds over levels of load, and over numbers of instances."""

    rounds: int
    levels: tuple[int, ...]
    counts: tuple[int, ...]


def affordable(plan: Plan, probes: float) -> Plan:
    """Return what so many probes allow of a plan: fewer rounds, else fewer levels, else fewer numbers of instances.

    The first two levels are kept in any case, and of numbers of instances the last longest.
    """
    fixed = len(plan.counts)  # each is loaded once, which takes as long as a probe
    for rounds in range(plan.rounds, 0, -1):
        if fixed + rounds * (len(plan.levels) + len(plan.counts)) <= probes:
            return Plan(rounds, plan.levels, plan.counts)
    room = max(0, int(probes) - 2)
    counts = _last(plan.counts, room // 2)
    return Plan(1, plan.levels[: 2 + room - 2 * len(counts)], counts)


def _last(values: Sequence[int], count: int) -> tuple[int, ...]:
    return tuple(values[max(0, len(values) - count) :])
