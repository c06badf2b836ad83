"""How far from the optimum a fleet is packed: 200 random fleets against all sets that fit on one GPU, and HiGHS.

What is compared with is worked out here without the code that packs: by its own arithmetic of what fits, and exactly.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.generator import console
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.plan.core import exact
from tritonsmith.perf.plan.packing import Fleet, Kind, Packing, Tenant, pack

GPU_BYTES = 48 << 30
MOST_LOAD = 0.8
SEEDS = range(200)


def main() -> None:
    """Pack all fleets, find their optima, and write both."""
    packings, seconds = zip(*(_timed(random_fleet(seed)) for seed in SEEDS), strict=True)
    used = [len(packing.cards) for packing in packings]
    fewest = [fewest_gpus(random_fleet(seed)) for seed in SEEDS]
    more = [one - least for one, least in zip(used, fewest, strict=True)]
    result = {
        "fleets": len(used),
        "models": "5 to 40 of 0.1 to 0.9 GPU; by memory, by memory and load, by memory and limits",
        "at the optimum": more.count(0),
        "proven by the packing itself": sum(packing.is_proven for packing in packings),
        "most GPUs above it": max(more),
        "median s": round(statistics.median(seconds), 4),
        "most s": round(max(seconds), 2),
        "fewest GPUs": fewest,
    }
    path = write_result("packing", result)
    console.result(f"{more.count(0)} of {len(used)} at the optimum, at most {max(more)} GPUs above it; {path}")


def random_fleet(seed: int) -> Fleet:
    """Return 5 to 40 models of 0.1 to 0.9 GPU: by memory alone, by memory and load, or by memory and limits on p99."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    tenants = tuple(_tenant(f"model{number}", seed % 3, draw) for number in range(5 + seed % 36))
    return Fleet(tenants, (Kind("L40S", GPU_BYTES, len(tenants)),), most_load=MOST_LOAD)


def _tenant(name: str, sort: int, draw: random.Random) -> Tenant:
    memory = exact(int(draw.uniform(0.1, 0.9) * GPU_BYTES), "drawn")
    if sort == 0:
        return Tenant(name, memory)
    seconds = draw.uniform(1e-3, 20e-3)
    rate_per_s = draw.uniform(0.05, 0.6) * MOST_LOAD / seconds * (1.0 if sort == 1 else 0.4)
    limit_s = math.inf if sort == 1 else draw.choice([0.1, 0.3, 1.0])
    return Tenant(name, memory, rate_per_s, {"": seconds}, limit_s=limit_s)


@dataclass(frozen=True)
class OnOne:
    """Whether models fit on one GPU together, by their numbers."""

    tenants: Sequence[Tenant]
    gpu_bytes: int = GPU_BYTES

    def __call__(self, chosen: Sequence[int]) -> bool:
        """Return whether memory, load and limits allow it."""
        models = [self.tenants[number] for number in chosen]
        seconds = [model.service_s.get("", 0.0) for model in models]
        load = sum(model.rate_per_s * each for model, each in zip(models, seconds, strict=True))
        if sum(model.memory_bytes.value for model in models) > self.gpu_bytes or load > MOST_LOAD:
            return False
        decay = max(math.log(100) / (model.limit_s - each) for model, each in zip(models, seconds, strict=True))
        terms = (m.rate_per_s * (math.exp(decay * each) - 1) for m, each in zip(models, seconds, strict=True))
        if sum(terms) <= decay:
            return True
        longest, rate_per_s = max(seconds), sum(model.rate_per_s for model in models)
        wait_s = min(model.limit_s - each for model, each in zip(models, seconds, strict=True))
        return share_by_lengths(min(wait_s / longest, 12.0), rate_per_s * longest) >= 0.99


def share_by_lengths(times: float, load: float) -> float:
    """Return the share of requests that wait no longer than `times` requests take, at random and all equally long.

    It follows from the chance of each length of the queue.
    Source: Franx, A simple solution for the M/D/c waiting time distribution, Operations Research Letters 29 (2001).
    """
    if load >= 1:
        return 0.0
    whole = math.floor(times) + 1
    come = [math.exp(-load) * load**count / math.factorial(count) for count in range(whole + 2)]
    chance = [1 - load]
    for n in range(whole):
        known = chance[0] * come[n] + sum(chance[i] * come[n - i + 1] for i in range(1, n + 1))
        chance.append((chance[n] - known) / come[0])
    rest = load * (whole - times)
    terms = (sum(chance[: whole - j + 1]) * rest**j / math.factorial(j) for j in range(whole))
    return math.exp(-rest) * sum(terms)


def sets_that_fit(count: int, fits: Callable[[Sequence[int]], bool]) -> Iterator[tuple[int, ...]]:
    """Yield every set of models that fits on one GPU; what is part of one that fits, fits."""
    stack: list[tuple[int, ...]] = [(number,) for number in range(count)]
    while stack:
        chosen = stack.pop()
        if fits(chosen):
            yield chosen
            stack += [(*chosen, number) for number in range(chosen[-1] + 1, count)]


def least_price(fleet: Fleet) -> float:
    """Return the exact optimum: the cheapest sets, each on a GPU, that have every model in one of them."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csc_array, vstack

    count = len(fleet.tenants)
    columns = [
        (place, chosen)
        for place, kind in enumerate(fleet.kinds)
        for chosen in sets_that_fit(count, OnOne(fleet.tenants, kind.memory_bytes))
    ]
    cells = [(row, column) for column, (_, chosen) in enumerate(columns) for row in chosen]
    has = csc_array((np.ones(len(cells)), tuple(zip(*cells, strict=True))), shape=(count, len(columns)))
    kind_of = np.array([[place == one for place, _ in columns] for one in range(len(fleet.kinds))], float)
    least = [1.0] * count + [0.0] * len(fleet.kinds)
    most = [np.inf] * count + [float(kind.count) for kind in fleet.kinds]
    limits = LinearConstraint(vstack([has, csc_array(kind_of)]), least, most)
    prices = [fleet.kinds[place].price_per_hour for place, _ in columns]
    found = milp(prices, constraints=limits, integrality=1, bounds=Bounds(0, 1))
    assert found.success, found.message
    price: float = found.fun
    return price


def fewest_gpus(fleet: Fleet) -> int:
    """Return the exact optimum where all GPUs cost 1."""
    return round(least_price(fleet))


def _timed(fleet: Fleet) -> tuple[Packing, float]:
    started_s = time.perf_counter()
    packing = pack(fleet)
    return packing, time.perf_counter() - started_s


if __name__ == "__main__":
    main()
