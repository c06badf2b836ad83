"""Queues that are played through."""

import random

from tritonsmith.perf.plan.packing.tails import Demand


def waits_s(demands: list[Demand], requests: int = 120_000, seed: int = 1) -> list[float]:
    """Return how long each request of a queue waits that takes them as they come (Lindley's recursion), sorted."""
    draw = random.Random(seed)
    rates = [demand.rate_per_s for demand in demands]
    found, wait = [], 0.0
    for demand in draw.choices(demands, rates, k=requests):
        found.append(wait)
        wait = max(0.0, wait + busy_s(demand, draw) - draw.expovariate(sum(rates)))
    return sorted(found)


def busy_s(demand: Demand, draw: random.Random) -> float:
    if not demand.variation:
        return demand.busy_s
    return draw.gammavariate(demand.variation**-2, demand.busy_s * demand.variation**2)
