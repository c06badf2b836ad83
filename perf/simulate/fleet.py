"""How many replicas a rate needs, from simulating one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.simulate.outcome import Outcome
from tritonsmith.perf.simulate.simulate import simulate
from tritonsmith.perf.simulate.system import System
from tritonsmith.perf.simulate.traffic import ClosedLoop, Poisson, Traffic

REQUESTS = 40_000  # of one simulation: 400 beyond a p99
TOLERANCE = 0.01  # of the highest rate
SATURATING_CLIENTS = 512
IDLE_RATE_PER_S = 1e-3


@dataclass(frozen=True)
class FleetSize:
    """`replicas` hold the latency even with `spare` of them down; latencies are the simulated ones of a replica."""

    replicas: int
    spare: int
    rate_per_replica: float  # with the spare ones down
    highest_rate_per_replica: float  # within the limit
    latency_us: float  # of the quantile, with the spare ones down
    latency_all_up_us: float


def replicas_for(
    system: System,
    model: str,
    rate_per_s: float,
    limit_us: float,
    *,
    share: float = 0.99,
    spare: int = 1,
    rows: int = 1,
    seed: int = 0,
) -> FleetSize:
    """Return how many replicas of a system answer Poisson arrivals at a rate with the quantile `share` within a limit.

    `spare` of them may be down. The load balancer is taken to pick replicas at random, so that each sees Poisson
    arrivals too; one that looks at queues does better.

    Raises: AnswerIsNo where not even an idle replica is fast enough; UsageError.
    """
    if rate_per_s <= 0 or spare < 0:
        raise UsageError(f"no fleet for a rate of {rate_per_s:g}/s and {spare} spare replicas")
    highest = highest_rate(system, model, limit_us, share=share, rows=rows, seed=seed)
    working = math.ceil(rate_per_s / highest - 1e-9)
    down, all_up = (_at_rate(system, model, rate_per_s / count, rows, seed) for count in (working, working + spare))
    return FleetSize(
        working + spare,
        spare,
        rate_per_s / working,
        highest,
        down.traffic[0].quantile_us(share),
        all_up.traffic[0].quantile_us(share),
    )


def highest_rate(
    system: System, model: str, limit_us: float, *, share: float = 0.99, rows: int = 1, seed: int = 0
) -> float:
    """Return the highest Poisson rate per second at which the share of requests is answered within the limit.

    Found by bisection to 1 %, between nothing and what saturates the system. Refused requests count as too late.

    Raises: AnswerIsNo where not even an idle system is fast enough.
    """
    no = AnswerIsNo(
        f"'{model}' cannot answer {share:.4g} of its requests within {limit_us / 1e3:g} ms, however few there are",
        hint="allow more time, or make the model faster",
    )
    if not _holds(_at_rate(system, model, IDLE_RATE_PER_S, rows, seed), limit_us, share):
        raise no
    saturated = simulate(system, Traffic(model, ClosedLoop(SATURATING_CLIENTS), rows), seed=seed)
    low, high = 0.0, saturated.throughput_per_s
    while high - low > TOLERANCE * high:
        if high <= IDLE_RATE_PER_S:
            raise no
        middle = (low + high) / 2
        if _holds(_at_rate(system, model, middle, rows, seed), limit_us, share):
            low = middle
        else:
            high = middle
    return low


def _holds(outcome: Outcome, limit_us: float, share: float) -> bool:
    return outcome.traffic[0].share_within(limit_us) >= share


def _at_rate(system: System, model: str, rate_per_s: float, rows: int, seed: int, requests: int = REQUESTS) -> Outcome:
    return simulate(system, Traffic(model, Poisson(rate_per_s), rows), requests=requests, seed=seed)
