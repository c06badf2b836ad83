"""The plan of pairs: which side is measured when. Drawn from a seed, so that it can be drawn again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.perf.gate.core import Side
from tritonsmith.perf.measure.load import Load

# ABBA then BAAB (the sequence of Thue and Morse), or the other way round: a drift of the machine falls on both sides
# alike, a steady one and one that grows. Eight short runs, since CPU is stolen in bursts of a second.
_FIRST: tuple[Side, ...] = ("baseline", "candidate", "candidate", "baseline")
_SECOND: tuple[Side, ...] = ("candidate", "baseline", "baseline", "candidate")
ORDERS = (_FIRST + _SECOND, _SECOND + _FIRST)


@dataclass(frozen=True)
class Turn:
    """One run to come: a side under a load, and its place in the pair's order at that load."""

    side: Side
    load: Load
    place: int


@dataclass(frozen=True)
class PlannedPair:
    """One generation of fresh servers: which is started first, and the runs in their order."""

    number: int
    first_started: Side
    turns: tuple[Turn, ...]


def plan_pairs(loads: Sequence[Load], seed: int) -> Iterator[PlannedPair]:
    """Yield pairs without end. A longer plan begins as a shorter one with the same seed does.

    Of every two pairs one has each order at every load, which one first is drawn; so is the order of the loads, and
    which server starts first. Any look at an even number of pairs is balanced.
    """
    draw = random.Random(seed)  # noqa: S311 - an order, not a secret
    number = 0
    while True:
        orders = {load: draw.sample(ORDERS, 2) for load in loads}
        starts = draw.sample([order[0] for order in ORDERS], 2)
        for half in range(2):
            shuffled = draw.sample(list(loads), len(loads))
            turns = tuple(Turn(side, load, place) for load in shuffled for place, side in enumerate(orders[load][half]))
            yield PlannedPair(number, starts[half], turns)
            number += 1
