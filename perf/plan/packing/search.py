"""Branch and bound on top of best-fit decreasing: a better packing, or the proof that there is none.

It looks at a given number of places and no longer, so that the same question has the same answer on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tritonsmith.perf.plan.packing.best_fit import Filled, best_fit, by_size, new_fillings, refilled
from tritonsmith.perf.plan.packing.bounds import least_cards, least_price
from tritonsmith.perf.plan.packing.copies import Copy, shares_of
from tritonsmith.perf.plan.packing.core import Kind
from tritonsmith.perf.plan.packing.filling import Filling

MOST_LOOKS = 100_000  # at whether a replica fits somewhere: about a tenth of a second
MOST_COPIES = 300  # it descends one level for each
_SLACK = 1e-9


@dataclass(frozen=True)
class Answer:
    """What was found; nothing costs less than `least_price`, no packing has fewer than `least_cards`."""

    filled: Filled
    least_price: float
    least_cards: int


def search(copies: Sequence[Copy], kinds: Sequence[Kind], most_load: float, looks: int = MOST_LOOKS) -> Answer:
    """Return the cheapest packing of all replicas that was found, and what none can be better than."""
    first = best_fit(copies, kinds, most_load)
    fewest = least_cards(copies, kinds, most_load)
    cheapest = least_price(fewest, copies, kinds, most_load)
    if (not first.left_over and first.price_per_hour <= cheapest + _SLACK) or len(copies) > MOST_COPIES:
        return Answer(first, cheapest, fewest)
    descent = _Descent(by_size(copies, kinds, most_load), kinds, most_load, cheapest, looks, first)
    descent.descend(0)
    if descent.has_seen_all and not descent.best.left_over:
        cheapest = descent.best.price_per_hour
        fewest = max(fewest, _fewest_for(cheapest, kinds))
    return Answer(descent.best, cheapest, fewest)


def _fewest_for(price: float, kinds: Sequence[Kind]) -> int:
    """Return how many GPUs a packing of at least this price has at the least, where all cost the same."""
    prices = {kind.price_per_hour for kind in kinds}
    return round(price / prices.pop()) if len(prices) == 1 else 0


@dataclass
class _Descent:
    """Puts one replica after the other wherever it fits, best places first, while that can still become better."""

    copies: list[Copy]  # the largest first
    kinds: Sequence[Kind]
    most_load: float
    least_price: float
    looks_left: int
    best: Filled
    open_ones: list[Filling] = field(default_factory=list)
    price: float = 0.0

    def __post_init__(self) -> None:
        shares = [shares_of(copy, self.kinds, self.most_load) for copy in self.copies]
        memory = [0.0 if copy.is_on_demand else one.memory for copy, one in zip(self.copies, shares, strict=True)]
        self._memory_to_come = _sums_to_come(memory)
        self._load_to_come = _sums_to_come([one.load for one in shares])
        counts = Counter(copy.tenant for copy in self.copies)
        self._several = {name for name, count in counts.items() if count > 1}
        self._step = min(kind.price_per_hour for kind in self.kinds)
        places = range(len(self.kinds))
        self._order = sorted(places, key=lambda p: self.kinds[p].price_per_hour / self.kinds[p].memory_bytes)

    @property
    def has_seen_all(self) -> bool:
        """Whether nothing was left out."""
        return self.looks_left > 0

    @property
    def _limit(self) -> float:
        """The price that a packing has to be below."""
        return float("inf") if self.best.left_over else self.best.price_per_hour - _SLACK

    def descend(self, depth: int) -> None:
        """Place the replicas from `depth` on in all ways that can become better than the best."""
        if depth == len(self.copies):
            self.best = Filled(tuple(self._kept(filling) for filling in self.open_ones))
            return
        for filling in self._places(self.copies[depth]):
            is_new = not filling.copies
            filling.put(self.copies[depth])
            if is_new:
                self.open_ones.append(filling)
                self.price += filling.kind.price_per_hour
            if self.price + self._more(depth + 1) < self._limit:
                self.descend(depth + 1)
            if is_new:
                self.open_ones.pop()
                self.price -= filling.kind.price_per_hour
            filling.take_last()
            if self.looks_left <= 0 or self._limit <= self.least_price:
                return

    def _places(self, copy: Copy) -> Iterator[Filling]:
        """Yield where a replica fits: the fullest first, one of several that are alike, then new ones."""
        self.looks_left -= len(self.open_ones) + 1
        found: dict[object, Filling] = {}
        for filling in self.open_ones:
            if filling.fits(copy):
                found.setdefault(self._likeness(filling), filling)
        yield from sorted(found.values(), key=lambda one: one.free_bytes / one.kind.memory_bytes + one.time_left)
        for new in new_fillings(self.open_ones, self.kinds, self._order, self.most_load):
            if self.price + new.kind.price_per_hour < self._limit and new.fits(copy):
                yield new

    def _likeness(self, filling: Filling) -> object:
        """Return what GPUs have in common on which the same can still be put."""
        if filling.turns_bytes:
            return id(filling)
        several = tuple(sorted(copy.tenant for copy in filling.copies if copy.tenant in self._several))
        return filling.state, several

    def _more(self, depth: int) -> float:
        """Return what GPUs for the rest cost at the least, beyond the room that is left."""
        memory = self._memory_to_come[depth] - sum(one.free_bytes / self._most_bytes for one in self.open_ones)
        load = self._load_to_come[depth] - sum(one.load_left for one in self.open_ones)
        lacking = max(memory, load)
        return self._step * -(-(lacking - _SLACK) // 1) if lacking > _SLACK else 0.0

    @property
    def _most_bytes(self) -> int:
        return max(kind.memory_bytes for kind in self.kinds)

    def _kept(self, filling: Filling) -> Filling:
        kept = refilled(filling.copies, Filling(filling.place, filling.kind, self.most_load))
        assert kept is not None
        return kept


def _sums_to_come(sizes: Sequence[float]) -> list[float]:
    sums = [0.0]
    for size in reversed(sizes):
        sums.append(sums[-1] + size)
    return sums[::-1]
