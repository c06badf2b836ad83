"""How many replicas a rate needs, from simulating one of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.simulate.outcome import Outcome
from tritonsmith.perf.simulate.simulate import simulate
from tritonsmith.perf.simulate.system import SimulatedModel, System
from tritonsmith.perf.simulate.traffic import ClosedLoop, Poisson, Traffic

REQUESTS = 40_000  # of one simulation: 400 beyond a p99
TOLERANCE = 0.01  # of the highest rate
LEAST_US = 1e-3  # that a request takes
IDLE_US = 1e6  # between requests of a client that is alone
LEAST_SHARE = 1e-3  # of what keeps instances busy: a system that can do less under the limit cannot do it at all


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

    Found by bisection to 1 %, between nothing and what keeps all instances busy. Refused requests count as too late.

    Raises: AnswerIsNo where not even an idle system is fast enough.
    """
    no = AnswerIsNo(
        f"'{model}' cannot answer {share:.4g} of its requests within {limit_us / 1e3:g} ms, however few there are",
        hint="allow more time, or make the model faster",
    )
    idle = simulate(system, Traffic(model, ClosedLoop(1, IDLE_US), rows), requests=REQUESTS, seed=seed)
    if not _holds(idle, limit_us, share):
        raise no
    most_per_s = _most_per_s(system, model, rows)
    low, high = 0.0, most_per_s
    while high - low > TOLERANCE * high and high > LEAST_SHARE * most_per_s:
        middle = (low + high) / 2
        if _holds(_at_rate(system, model, middle, rows, seed), limit_us, share):
            low = middle
        else:
            high = middle
    if not low:
        raise no
    return low


def _most_per_s(system: System, model: str, rows: int) -> float:
    """Return a rate that the instances cannot exceed, each always busy with the batch size that suits it best."""
    limits = []
    for name, visits in Counter(_visited(system, model)).items():
        one = system.models[name]
        assert isinstance(one, SimulatedModel)
        sizes = range(rows, max(rows, one.max_batch_size) + 1)
        row_us = min(one.service.mean_of(size) / size for size in sizes)
        limits.append(one.instances * 1e6 / max(row_us * rows * visits, LEAST_US))
    return min(limits)


def _visited(system: System, model: str) -> Iterator[str]:
    """Yield each model that a request comes to, as often as it does."""
    one = system.models[model]
    if isinstance(one, SimulatedModel):
        yield model
    else:
        for step in one.steps:
            yield from _visited(system, step.model)


def _holds(outcome: Outcome, limit_us: float, share: float) -> bool:
    return outcome.traffic[0].share_within(limit_us) >= share


def _at_rate(system: System, model: str, rate_per_s: float, rows: int, seed: int) -> Outcome:
    return simulate(system, Traffic(model, Poisson(rate_per_s), rows), requests=REQUESTS, seed=seed)
