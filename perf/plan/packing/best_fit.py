"""Best-fit decreasing, in several orders: the largest first, each where it leaves the least."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.perf.plan.packing.copies import Copy, Shares, shares_of
from tritonsmith.perf.plan.packing.core import Kind
from tritonsmith.perf.plan.packing.filling import Filling

Size = Callable[[Shares], float]


def larger(shares: Shares) -> float:
    """Return the larger of the shares of memory and time."""
    return max(shares.memory, shares.time)


SIZES: tuple[Size, ...] = (
    larger,
    lambda shares: shares.memory + shares.time,
    lambda shares: shares.memory,
    lambda shares: shares.time,
)
Left = Callable[[Filling, Copy], float]


@dataclass(frozen=True)
class Filled:
    """GPUs with what lies on them, and what no place was found for."""

    fillings: tuple[Filling, ...]
    left_over: tuple[Copy, ...] = ()

    @property
    def price_per_hour(self) -> float:
        """The price of the GPUs that are used."""
        return sum(filling.kind.price_per_hour for filling in self.fillings)

    @property
    def rank(self) -> tuple[int, float, int]:
        """What makes one better than another, the least first: what is left over, the price, the GPUs."""
        return len(self.left_over), self.price_per_hour, len(self.fillings)


def best_fit(copies: Sequence[Copy], kinds: Sequence[Kind], most_load: float) -> Filled:
    """Return the best of what all orders, measures of what is left and preferred kinds lead to."""
    return min(_attempts(copies, kinds, most_load), key=lambda filled: filled.rank)


def _attempts(copies: Sequence[Copy], kinds: Sequence[Kind], most_load: float) -> Iterator[Filled]:
    for size, left, order in itertools.product(SIZES, (_left_together, _left_of_scarcer), _orders_of_kinds(kinds)):
        yield _fill(by_size(copies, kinds, most_load, size), kinds, order, most_load, left)


def by_size(copies: Sequence[Copy], kinds: Sequence[Kind], most_load: float, size: Size = larger) -> list[Copy]:
    """Return replicas that cannot share first, then the largest; models on demand last, ties by name."""
    return sorted(
        copies,
        key=lambda copy: (
            copy.is_on_demand,
            not copy.is_alone,
            -size(shares_of(copy, kinds, most_load)),
            -copy.memory_bytes,
            copy.tenant,
        ),
    )


def _fill(copies: Sequence[Copy], kinds: Sequence[Kind], order: Sequence[int], most_load: float, left: Left) -> Filled:
    open_ones: list[Filling] = []
    left_over: list[Copy] = []
    for copy in copies:
        fitting = [filling for filling in open_ones if filling.fits(copy)]
        best = min(fitting, key=lambda filling: left(filling, copy), default=None)
        if best is None:
            best = next((new for new in new_fillings(open_ones, kinds, order, most_load) if new.fits(copy)), None)
            if best is not None:
                open_ones.append(best)
        if best is None:
            left_over.append(copy)
        else:
            best.put(copy)
    return Filled(tuple(_on_cheapest(open_ones, kinds, most_load)), tuple(left_over))


def new_fillings(
    used: Sequence[Filling], kinds: Sequence[Kind], order: Sequence[int], most_load: float
) -> Iterator[Filling]:
    """Yield an empty GPU of each kind of which one is left."""
    for place in order:
        if sum(filling.place == place for filling in used) < kinds[place].count:
            yield Filling(place, kinds[place], most_load)


def _orders_of_kinds(kinds: Sequence[Kind]) -> list[list[int]]:
    """Return the orders in which kinds are opened: cheap memory first, cheap GPUs first, large GPUs first."""
    places = range(len(kinds))
    orders = [
        sorted(places, key=lambda place: kinds[place].price_per_hour / kinds[place].memory_bytes),
        sorted(places, key=lambda place: (kinds[place].price_per_hour, kinds[place].memory_bytes)),
        sorted(places, key=lambda place: -kinds[place].memory_bytes),
    ]
    return [order for index, order in enumerate(orders) if order not in orders[:index]]


def _on_cheapest(fillings: Sequence[Filling], kinds: Sequence[Kind], most_load: float) -> list[Filling]:
    """Return the same contents, each on the cheapest kind that holds it and of which one is left."""
    free = [kind.count - sum(filling.place == place for filling in fillings) for place, kind in enumerate(kinds)]
    cheap_first = sorted(range(len(kinds)), key=lambda place: (kinds[place].price_per_hour, kinds[place].memory_bytes))
    moved = []
    for filling in sorted(fillings, key=lambda one: -one.kind.price_per_hour):
        for place in cheap_first:
            if kinds[place].price_per_hour >= filling.kind.price_per_hour:
                moved.append(filling)
                break
            other = refilled(filling.copies, Filling(place, kinds[place], most_load)) if free[place] else None
            if other is not None:
                free[place], free[filling.place] = free[place] - 1, free[filling.place] + 1
                moved.append(other)
                break
    return moved


def refilled(copies: Sequence[Copy], filling: Filling) -> Filling | None:
    """Return a GPU with these replicas on it; None where they do not fit."""
    for copy in copies:
        if not filling.fits(copy):
            return None
        filling.put(copy)
    return filling


def _left_together(filling: Filling, copy: Copy) -> float:
    """What is left of memory and time after a replica was put there."""
    memory, time = _left(filling, copy)
    return memory + time


def _left_of_scarcer(filling: Filling, copy: Copy) -> float:
    """What is left of the one that is nearer to its end."""
    return min(_left(filling, copy))


def _left(filling: Filling, copy: Copy) -> tuple[float, float]:
    filling.put(copy)
    shares = filling.free_bytes / filling.kind.memory_bytes, filling.time_left
    filling.take_last()
    return shares
