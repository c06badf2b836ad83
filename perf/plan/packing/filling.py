"""A GPU while it is being filled: whether one more replica may lie on it."""

from __future__ import annotations

from collections.abc import Iterable

from tritonsmith.perf.plan.packing.copies import Claim, Copy
from tritonsmith.perf.plan.packing.core import Kind
from tritonsmith.perf.plan.packing.tails import Demand, keep_with_longest

SLACK = 1e-9  # of floating point


class Filling:
    """Replicas on one GPU of a kind, the last one put there first to be taken away.

    The rules: memory adds up, of models on demand only the largest; the terms of their times add up to 1 at most, or
    limits are kept even if every request takes as long as the longest (see tails); the terms of turns on demand add up
    to 1 at most; no two replicas of one model; no two owners; who is alone shares with nobody; who has a limit shares
    with none whose rate is not known; models on demand that have a limit do not take turns with those that have none,
    whose turns may be long.
    """

    def __init__(self, place: int, kind: Kind, most_load: float) -> None:
        self.place, self.kind, self.most_load = place, kind, most_load
        self.copies: list[Copy] = []
        self.resident_bytes = self.turns_bytes = 0
        self._weight = self._decay = self.load = 0.0
        self._undo: list[tuple[int, int, float, float, float]] = []

    @property
    def free_bytes(self) -> int:
        """Memory that is left."""
        return self.kind.memory_bytes - self.resident_bytes - self.turns_bytes

    @property
    def time_left(self) -> float:
        """The share of what may be asked of its time that is left."""
        return min(1 - self._weight, self.load_left)

    @property
    def load_left(self) -> float:
        """The share of what may be asked of its time that is left, limits aside."""
        return 1 - self.load / self.most_load

    @property
    def state(self) -> tuple[object, ...]:
        """What decides, beside the names on it, what else fits."""
        owner = self.copies[0].owner if self.copies else None
        limits = frozenset((one.busy_s, one.variation, one.wait_s, one.share) for one in self.demands())
        return self.place, owner, self._has_unknown, self.resident_bytes, self._weight, self._decay, self.load, limits

    def demands(self) -> list[Demand]:
        """Return what is asked of its time."""
        return [claim.time for copy in self.copies if (claim := copy.claims[self.place]) is not None]

    def fits(self, copy: Copy) -> bool:
        """Return whether a replica may be put on it."""
        claim = copy.claims[self.place]
        if claim is None or self._more_bytes(copy) > self.free_bytes or not self._goes_with(copy):
            return False
        if self.load + claim.time.load > self.most_load + SLACK:
            return False
        if self._weight_with(claim.time) > 1 + SLACK and not self._keeps_with_longest(claim):
            return False
        return claim.turn is None or self._can_take_turns(claim.turn)

    def put(self, copy: Copy) -> None:
        """Put a replica on it, which must fit."""
        claim = copy.claims[self.place]
        assert claim is not None
        self._undo.append((self.resident_bytes, self.turns_bytes, self._weight, self._decay, self.load))
        if claim.turn is None:
            self.resident_bytes += copy.memory_bytes
        else:
            self.turns_bytes = max(self.turns_bytes, copy.memory_bytes)
        self._weight = self._weight_with(claim.time)
        self._decay = max(self._decay, claim.time.decay_per_s)
        self.load += claim.time.load
        self.copies.append(copy)

    def take_last(self) -> None:
        """Take away the replica that was put there last."""
        self.copies.pop()
        self.resident_bytes, self.turns_bytes, self._weight, self._decay, self.load = self._undo.pop()

    def _more_bytes(self, copy: Copy) -> int:
        if copy.is_on_demand:
            return max(0, copy.memory_bytes - self.turns_bytes)
        return copy.memory_bytes

    def _goes_with(self, copy: Copy) -> bool:
        if not self.copies:
            return True
        first = self.copies[0]
        if copy.is_alone or first.is_alone or copy.owner != first.owner:
            return False
        if any(other.tenant == copy.tenant for other in self.copies):
            return False
        return (not self._has_limit or copy.has_rate) and (not self._has_unknown or not self._is_limited(copy))

    @property
    def _has_limit(self) -> bool:
        return self._decay > 0

    @property
    def _has_unknown(self) -> bool:
        return any(not copy.has_rate for copy in self.copies)

    def _is_limited(self, copy: Copy) -> bool:
        claim = copy.claims[self.place]
        return claim is not None and claim.time.decay_per_s > 0

    def _weight_with(self, demand: Demand) -> float:
        if demand.decay_per_s <= self._decay:
            return self._weight + demand.weight(self._decay)
        return _sum([*self.demands(), demand], demand.decay_per_s)

    def _keeps_with_longest(self, claim: Claim) -> bool:
        """Whether limits are kept so; models on demand do not come at random: for them the bound stands."""
        if claim.turn is not None or self.turns_bytes:
            return False
        return keep_with_longest([*self.demands(), claim.time])

    def _can_take_turns(self, turn: Demand) -> bool:
        claims = (copy.claims[self.place] for copy in self.copies)
        turns = [turn, *(claim.turn for claim in claims if claim is not None and claim.turn is not None)]
        if len({other.decay_per_s > 0 for other in turns}) > 1 or sum(other.load for other in turns) > self.most_load:
            return False
        return _sum(turns, max(other.decay_per_s for other in turns)) <= 1 + SLACK


def _sum(demands: Iterable[Demand], decay_per_s: float) -> float:
    return sum(demand.weight(decay_per_s) for demand in demands)
