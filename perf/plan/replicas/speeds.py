"""A replica at the speed that is estimated, and at those that it may have: simulated once for each rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tritonsmith.perf.plan.core import Figure, Objectives, StepTimes, Tails, Traffic
from tritonsmith.perf.plan.replicas.inflight import Served
from tritonsmith.perf.plan.replicas.replica import KEEPS_UP, Replica, highest_rate, most_per_s, serve_at, tails_of
from tritonsmith.perf.plan.steps.remembered import RememberedTimes


@dataclass(frozen=True)
class StretchedTimes:
    """Step times that are `factor` times as long."""

    times: StepTimes
    factor: float

    @property
    def source(self) -> str:
        """What these times follow from."""
        return f"{self.times.source}, x {self.factor:.3g}"

    def prefill_s(self, tokens: float, context: float) -> float:
        """Return how long a step takes that reads so many tokens of one prompt."""
        return self.factor * self.times.prefill_s(tokens, context)

    def decode_s(self, sequences: float, context: float) -> float:
        """Return how long a step takes that adds a token to each sequence."""
        return self.factor * self.times.decode_s(sequences, context)


class Speed:
    """One replica under a traffic, its steps `factor` times as long as estimated; it does `most_per_s` at most."""

    def __init__(self, replica: Replica, traffic: Traffic, factor: float, seed: int) -> None:
        self._replica = replica if factor == 1 else replace(replica, times=StretchedTimes(replica.times, factor))
        self._traffic, self._seed = traffic, seed
        self._served: dict[float, Served] = {}
        self._highest: dict[Objectives, float] = {}
        self.factor = factor
        self.most_per_s = most_per_s(self._replica, traffic)

    def highest(self, objectives: Objectives) -> float:
        """Return the highest rate per second within the objectives.

        Raises: AnswerIsNo where there is none.
        """
        if objectives not in self._highest:
            self._highest[objectives] = highest_rate(
                self._replica, self._traffic, objectives, self.most_per_s, self._seed
            )
        return self._highest[objectives]

    def tails(self, rate_per_s: float, objectives: Objectives) -> Tails:
        """Return what requests meet at a rate; they wait without end where it is more than the replica keeps up with.

        `utilisation` is the rate divided by the most: a batch that is never empty may still have much room.
        """
        if rate_per_s not in self._served:
            self._served[rate_per_s] = serve_at(self._replica, self._traffic, rate_per_s, self._seed)
        found = tails_of(self._served[rate_per_s], objectives, rate_per_s / self.most_per_s)
        if found.utilisation <= KEEPS_UP * (1 + 1e-9) or self._traffic.arrivals:
            return found
        endless = dict.fromkeys(found.latency_ms, math.inf)
        return replace(found, ttft_ms=endless, latency_ms=endless, share_within=0.0)


def speeds_of(replica: Replica, traffic: Traffic, full: Figure | None, seed: int) -> list[Speed]:
    """Return a replica as it is estimated; then, where `full` is no exact number, the fastest and slowest it may be.

    `full` is what a full replica does: by as much as its ends differ from it, steps may take less or more time.
    """
    factors = [1.0] if full is None or full.low == full.high else [1.0, full.value / full.high, full.value / full.low]
    remembered = replace(replica, times=RememberedTimes(replica.times))
    return [Speed(remembered, traffic, factor, seed) for factor in factors]


def words_of(speeds: Sequence[Speed]) -> str:
    """Return by how much longer or shorter steps may be, as the end of a source; nothing where that is certain."""
    return f", steps x {speeds[1].factor:.2f} to {speeds[2].factor:.2f}" if len(speeds) > 1 else ""
