"""Step times that are looked up again where they were asked for before, or for nearly as much."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tritonsmith.perf.plan.core import StepTimes

GRID = 128  # half as many values lie between a number and its half: rounded, one is off by 0.8 % at most


@dataclass(frozen=True)
class RememberedTimes:
    """The same step times for a simulation, which asks for millions: tokens and contexts are rounded by up to 0.8 %."""

    times: StepTimes
    prefills_s: dict[tuple[float, float], float] = field(default_factory=dict, repr=False, compare=False)
    decodes_s: dict[tuple[float, float], float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def source(self) -> str:
        """What these times follow from."""
        return self.times.source

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step takes that reads so many tokens of one prompt, behind `context` others."""
        key = rounded(tokens), rounded(context)
        seconds = self.prefills_s.get(key)
        if seconds is None:
            seconds = self.prefills_s[key] = self.times.prefill_s(*key)
        return seconds

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence, whose mean length is `context`."""
        key = sequences, rounded(context)
        seconds = self.decodes_s.get(key)
        if seconds is None:
            seconds = self.decodes_s[key] = self.times.decode_s(*key)
        return seconds


def rounded(number: float) -> float:
    """Return a number near it, of which there are few."""
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * GRID), exponent) / GRID
