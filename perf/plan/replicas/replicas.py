"""How many replicas a traffic needs, from simulating one of them: with some of them down, and while they are rolled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Figure, Memory, Objectives, Replicas, Serving, StepTimes, Traffic
from tritonsmith.perf.plan.replicas.arrivals import least_replicas, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import KEEPS_UP, Replica
from tritonsmith.perf.plan.replicas.speeds import Speed, speeds_of, words_of


def replicas(
    times: StepTimes,
    serving: Serving,
    memory: Memory,
    traffic: Traffic,
    objectives: Objectives,
    *,
    spare: int = 1,
    full: Figure | None = None,
    seed: int = 0,
) -> Replicas:
    """Return how many replicas answer a traffic within the objectives while `spare` of them are down.

    In a roll-out they leave in turns; without spare ones, one more has to come if limits are to hold. The load balancer
    is taken to pick at random; one that looks at queues does better. `full` is what a full replica does: by as much as
    its ends differ from it, steps may take less or more time, and the rate per replica and its tails are told for both.

    Raises: AnswerIsNo where not even an idle replica is fast enough; UsageError.
    """
    surge = surge_of(spare)
    rate_per_s = traffic_rate_per_s(traffic)
    speeds = speeds_of(Replica(times, serving, memory.kv_tokens.value), traffic, full, seed)
    working, highest = working_at(speeds[0], rate_per_s, objectives)
    down, *ends = (speed.tails(rate_per_s / working, objectives) for speed in speeds)
    all_up = speeds[0].tails(rate_per_s / (working + spare), objectives)
    left = working + spare - 1
    rolling = speeds[0].tails(rate_per_s / left, objectives) if left else None
    rate = _rate(highest, speeds, objectives, times.source)
    if traffic.arrivals and working == 1:
        most = max(rate.high, KEEPS_UP * speeds[0].most_per_s)
        rate = replace(rate, high=most, source=f"{rate.source}; all that is recorded, of what it may do")
    fast, slow = ends or (None, None)
    return Replicas(working, spare, surge, rate, down, all_up, fast, slow, rolling)


def _rate(highest: float, speeds: Sequence[Speed], objectives: Objectives, source: str) -> Figure:
    """Return the highest rate of a replica, its ends those of the slowest and the fastest that it may be."""
    rates = [highest, *(_highest_or_none(speed, objectives) for speed in speeds[1:])]
    return Figure(highest, min(rates), max(rates), f"simulated in-flight batching, {source}{words_of(speeds)}")


def working_at(speed: Speed, rate_per_s: float, objectives: Objectives) -> tuple[int, float]:
    """Return the fewest replicas that answer a rate within the objectives, and the highest rate that each may have.

    Raises: AnswerIsNo where not even an idle one is fast enough.
    """
    highest = speed.highest(objectives)
    working = least_replicas(rate_per_s, highest)
    while speed.tails(rate_per_s / working, objectives).share_within < objectives.share:  # that met a worse moment
        working += 1
        highest = rate_per_s / working
    return working, highest


def surge_of(spare: int) -> int:
    """Return the replicas that come with a roll-out.

    Raises: UsageError where the number of spare ones is below 0.
    """
    if spare < 0:
        raise UsageError(f"{spare} spare replicas are fewer than none", hint="give 0 or more")
    return 0 if spare else 1


def _highest_or_none(speed: Speed, objectives: Objectives) -> float:
    try:
        return speed.highest(objectives)
    except AnswerIsNo:
        return 0.0
