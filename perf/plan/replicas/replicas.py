"""How many replicas a traffic needs, from simulating one of them: with some of them down, and while they are rolled."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Figure, Memory, Objectives, Replicas, Serving, StepTimes, Traffic
from tritonsmith.perf.plan.replicas.arrivals import traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import TOLERANCE, Replica, highest_rate, most_per_s, tails_at
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
    error: float = 0.0,
    seed: int = 0,
) -> Replicas:
    """Return how many replicas answer a traffic within the objectives while `spare` of them are down.

    `surge` more come with a roll-out; where nothing is said, none if there are spare ones, which leave in turns, else
    one. The load balancer is taken to pick at random; one that looks at queues does better. `error` is the
    share by which step times may be off, four times in five: the rate per replica is told for both ends of it.

    Raises: AnswerIsNo where not even an idle replica is fast enough; UsageError.
    """
    surge = surge_of(spare, surge)
    rate_per_s = traffic_rate_per_s(traffic)
    replica = Replica(RememberedTimes(times), serving, memory.kv_tokens.value)
    most = most_per_s(replica, traffic)
    highest = highest_rate(replica, traffic, objectives, most, seed)
    working = math.ceil(rate_per_s / highest - 1e-9)
    down = tails_at(replica, traffic, objectives, rate_per_s / working, most, seed)
    while down.share_within < objectives.share:  # a lower rate met a worse moment
        highest = rate_per_s / working * (1 - TOLERANCE)
        working += 1
        down = tails_at(replica, traffic, objectives, rate_per_s / working, most, seed)
    all_up = tails_at(replica, traffic, objectives, rate_per_s / (working + spare), most, seed) if spare else down
    rate = _with_ends(replica, traffic, objectives, highest, error, seed)
    return Replicas(working, spare, surge, rate, down, all_up)


def surge_of(spare: int, surge: int | None) -> int:
    """Return the replicas that come with a roll-out.

    Raises: UsageError where one of the numbers is below 0.
    """
    if spare < 0 or (surge is not None and surge < 0):
        raise UsageError(f"{spare} spare and {surge or 0} surge replicas: none can be below 0", hint="leave them out")
    return (0 if spare else 1) if surge is None else surge


def _with_ends(
    replica: Replica, traffic: Traffic, objectives: Objectives, highest: float, error: float, seed: int
) -> Figure:
    """Return the rate with what it would be if steps took longer, or less long, by the error; 0 where none holds."""
    source = f"simulated in-flight batching, {replica.times.source}"
    if not error:
        return Figure(highest, highest, highest, source)
    low, high = (_rate_at(replica, factor, traffic, objectives, seed) for factor in (1 + error, 1 / (1 + error)))
    return Figure(highest, min(low, highest), max(high, highest), f"{source}, off by at most {error:.0%}")


def _rate_at(replica: Replica, factor: float, traffic: Traffic, objectives: Objectives, seed: int) -> float:
    slowed = Replica(SlowedTimes(replica.times, factor), replica.serving, replica.kv_tokens)
    try:
        return highest_rate(slowed, traffic, objectives, most_per_s(slowed, traffic), seed)
    except AnswerIsNo:
        return 0.0
