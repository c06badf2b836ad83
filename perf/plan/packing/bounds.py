"""What no packing can do better than."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from tritonsmith.perf.plan.packing.copies import Copy, Shares, shares_of
from tritonsmith.perf.plan.packing.core import Kind

_SLACK = 1e-9


def least_cards(copies: Sequence[Copy], kinds: Sequence[Kind], most_load: float) -> int:
    """Return a number of GPUs below which no packing exists: of memory, of time, of replicas that exclude each other.

    A replica counts with what it takes of the GPU on which it takes least; one on demand takes no memory for sure.
    """
    shares = [shares_of(copy, kinds, most_load) for copy in copies]
    sure = [replace(one, memory=0.0) if copy.is_on_demand else one for copy, one in zip(copies, shares, strict=True)]
    dimensions = ([one.memory for one in sure], [one.weight for one in sure], [one.load for one in sure])
    return max(*map(_least, dimensions), _excluding(copies, sure))


def least_price(count: int, copies: Sequence[Copy], kinds: Sequence[Kind], most_load: float) -> float:
    """Return what so many GPUs cost at the least, or the memory or time of all replicas where each is cheapest."""
    prices = sorted(itertools.chain.from_iterable([kind.price_per_hour] * kind.count for kind in kinds))
    memory = load = 0.0
    for copy in copies:
        possible = [(kind, claim.time) for kind, claim in zip(kinds, copy.claims, strict=True) if claim is not None]
        load += min(kind.price_per_hour * time.load / most_load for kind, time in possible)
        if not copy.is_on_demand:
            memory += min(kind.price_per_hour * copy.memory_bytes / kind.memory_bytes for kind, _ in possible)
    return max(sum(prices[:count]), memory, load)


def _least(sizes: Sequence[float]) -> int:
    """Return Martello and Toth's bound L2 for bins of size 1.

    For each threshold t: who is larger than 1 - t has a bin where nothing of size t or more goes; who is larger than a
    half has one of his own; what of the others is more than the rest of those bins needs further ones.
    """
    best = math.ceil(sum(sizes) - _SLACK)
    for threshold in {0.0, *(size for size in sizes if size <= 0.5)}:
        huge = sum(size > 1 - threshold + _SLACK for size in sizes)
        large = [size for size in sizes if 0.5 + _SLACK < size <= 1 - threshold + _SLACK]
        small = sum(size for size in sizes if threshold <= size <= 0.5 + _SLACK)
        more = math.ceil(small - (len(large) - sum(large)) - _SLACK)
        best = max(best, huge + len(large) + max(0, more))
    return best


def _excluding(copies: Sequence[Copy], shares: Sequence[Shares]) -> int:
    """Return the size of a set of replicas no two of which can lie on one GPU, found greedily."""
    together = list(zip(copies, shares, strict=True))
    chosen: list[tuple[Copy, Shares]] = []
    for one in sorted(together, key=lambda pair: -max(pair[1].memory, pair[1].time)):
        if all(_exclude(one, other) for other in chosen):
            chosen.append(one)
    return len(chosen)


def _exclude(one: tuple[Copy, Shares], other: tuple[Copy, Shares]) -> bool:
    (first, mine), (second, its) = one, other
    if first.tenant == second.tenant or first.owner != second.owner or first.is_alone or second.is_alone:
        return True
    return max(mine.memory + its.memory, mine.weight + its.weight, mine.load + its.load) > 1 + _SLACK
