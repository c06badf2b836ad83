"""How many replicas a traffic needs, from simulating one of them: with some of them down, and while they are rolled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Figure, Memory, Objectives, Replicas, Serving, StepTimes, Tails, Traffic, exact
from tritonsmith.perf.plan.replicas.arrivals import replicas_for, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import KEEPS_UP, Replica, highest_rate, most_per_s, tails_at
from tritonsmith.perf.plan.steps.remembered import RememberedTimes


@dataclass(frozen=True)
class SlowedTimes:
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


def replicas(
    times: StepTimes,
    serving: Serving,
    memory: Memory,
    traffic: Traffic,
    objectives: Objectives,
    *,
    spare: int = 1,
    surge: int | None = None,
    full: Figure | None = None,
    seed: int = 0,
) -> Replicas:
    """Return how many replicas answer a traffic within the objectives while `spare` of them are down.

    `surge` more come with a roll-out; where nothing is said, none if there are spare ones, which leave in turns, else
    one. The load balancer is taken to pick at random; one that looks at queues does better. `full` is what a full
    replica does: by as much as its ends differ from it, steps may take less or more time, and the rate per replica and
    its tails are told for both.

    Raises: AnswerIsNo where not even an idle replica is fast enough; UsageError.
    """
    surge = surge_of(spare, surge)
    rate_per_s = traffic_rate_per_s(traffic)
    replica = Replica(RememberedTimes(times), serving, memory.kv_tokens.value)
    most = most_per_s(replica, traffic)
    highest = highest_rate(replica, traffic, objectives, most, seed)
    working = replicas_for(rate_per_s, highest)
    down = tails_at(replica, traffic, objectives, rate_per_s / working, most, seed)
    while down.share_within < objectives.share:  # a lower rate met a worse moment
        working += 1
        highest = rate_per_s / working
        down = tails_at(replica, traffic, objectives, highest, most, seed)
    all_up = tails_at(replica, traffic, objectives, rate_per_s / (working + spare), most, seed) if spare else down
    source = f"simulated in-flight batching, {times.source}"
    if full is None or full.low == full.high:
        return Replicas(working, spare, surge, exact(highest, source), down, all_up)
    ends = [
        End(replica, factor, traffic, objectives, seed) for factor in (full.value / full.high, full.value / full.low)
    ]
    fast, slow = (end.tails(rate_per_s / working) for end in ends)
    high, low = (end.rate() for end in ends)
    source += f", steps x {ends[0].factor:.2f} to {ends[1].factor:.2f}"
    rate = Figure(highest, min(low, highest), max(high, highest), source)
    return Replicas(working, spare, surge, rate, down, all_up, fast, slow)


def surge_of(spare: int, surge: int | None) -> int:
    """Return the replicas that come with a roll-out.

    Raises: UsageError where one of the numbers is below 0.
    """
    if spare < 0 or (surge is not None and surge < 0):
        raise UsageError(f"{spare} spare and {surge or 0} surge replicas: none can be below 0", hint="leave them out")
    return (0 if spare else 1) if surge is None else surge


@dataclass(frozen=True)
class End:
    """A replica whose steps take `factor` times as long."""

    replica: Replica
    factor: float
    traffic: Traffic
    objectives: Objectives
    seed: int

    def rate(self) -> float:
        """Return the highest rate per second within the objectives; 0 where there is none."""
        try:
            return highest_rate(self._slowed, self.traffic, self.objectives, self._most_per_s, self.seed)
        except AnswerIsNo:
            return 0.0

    def tails(self, rate_per_s: float) -> Tails:
        """Return what requests meet at a rate, without an end where it is more than the replica keeps up with."""
        found = tails_at(self._slowed, self.traffic, self.objectives, rate_per_s, self._most_per_s, self.seed)
        if found.utilisation <= KEEPS_UP:
            return found
        endless = dict.fromkeys(found.ttft_ms, math.inf)
        return replace(found, ttft_ms=endless, latency_ms=endless, share_within=0.0)

    @cached_property
    def _slowed(self) -> Replica:
        return replace(self.replica, times=SlowedTimes(self.replica.times, self.factor))

    @cached_property
    def _most_per_s(self) -> float:
        return most_per_s(self._slowed, self.traffic)
