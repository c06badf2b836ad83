"""A traffic from several regions: replicas in each, who helps out, and what the loss of one does to the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Figure, Objectives, Tails, Traffic
from tritonsmith.perf.plan.regions.core import Loss, RegionalPlan, Regions, Users
from tritonsmith.perf.plan.replicas.arrivals import least_replicas, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import Replica
from tritonsmith.perf.plan.replicas.replicas import working_at
from tritonsmith.perf.plan.replicas.speeds import speeds_of, words_of

LEAST_PER_S = 1e-6  # fewer requests than that are none


def plan_regions(
    replica: Replica,
    traffic: Traffic,
    objectives: Objectives,
    regions: Regions,
    *,
    spare: int = 1,
    full: Figure | None = None,
    price: float | None = None,
    seed: int = 0,
) -> RegionalPlan:
    """Return how regions that share a traffic serve it, each for its own users as long as it stands.

    The objectives are the users': what the network takes of them, replicas do not have. Users of a lost region go where
    the round trip is shortest and replicas, spare ones too, have room within the objectives of all whom they serve
    then; what no region has room for is refused. `full` is what a full replica does; its ends say how far off the times
    may be; `price` is what one costs in an hour.

    Raises: UsageError; AnswerIsNo where an idle replica of a region is too slow for its own users, or, if a loss is to
    be survived, those of all other regions for the users of a lost one.
    """
    return World(replica, traffic, objectives, regions, spare=spare, full=full, seed=seed).plan(price)


class World:
    """Regions with as many of the same kind of replica as they need, simulated once for each rate that it meets.

    `fleet` are the replicas by region, spare ones included.
    """

    def __init__(
        self,
        replica: Replica,
        traffic: Traffic,
        objectives: Objectives,
        regions: Regions,
        *,
        spare: int = 1,
        full: Figure | None = None,
        seed: int = 0,
    ) -> None:
        """Size the regions.

        Raises: as `plan_regions` does.
        """
        require_sense(regions)
        self.rates = rates_of(regions, traffic_rate_per_s(traffic))
        self._objectives, self._round_trip_ms = objectives, regions.round_trip_ms
        self._speeds = speeds_of(replica, traffic, full, seed)
        self._highest_ms: dict[float, float] = {}  # requests per second of a replica, by the network's round trip
        self._source = f"simulated{words_of(self._speeds)}; the network's round trip added"
        self.spill_over = {
            home: tuple(sorted((n for n in self.rates if n != home), key=lambda n: (self._round_trip_ms[home][n], n)))
            for home in self.rates
        }
        found = {name: self._working(name) for name in self.rates}
        self.working = {name: working for name, (working, _) in found.items()}
        self.highest = {name: highest for name, (_, highest) in found.items()}
        self._spare = spare
        self.fleet = {name: count + spare for name, count in self.working.items()}
        self._survives = regions.survive
        if regions.survive:
            self.require_takers()
            self.fleet = self.surviving(self.fleet)

    def plan(self, price: float | None = None) -> RegionalPlan:
        """Return what users meet, and what the loss of each region does, where a replica has that price per hour."""
        users = tuple(
            self.users(name, name, rate, rate / (self.fleet[name] - self._spare)) for name, rate in self.rates.items()
        )
        losses = tuple(self.loss(name, self.fleet) for name in self.fleet) if len(self.fleet) > 1 else ()
        enough = self.fleet if self._survives else self.surviving(self.fleet)
        cost = None if price is None else price * sum(self.fleet.values())
        return RegionalPlan(self.fleet, self.between(), self.spill_over, users, losses, enough, cost)

    def all_up(self) -> Tails:
        """Return what requests meet at a replica with the mean rate while all are up, the network not counted."""
        return self._speeds[0].tails(sum(self.rates.values()) / sum(self.fleet.values()), self._objectives)

    def between(self) -> dict[str, tuple[int, int]]:
        """Return the fleet's replicas by region at the fastest and slowest that they may be, as a plan has them."""
        more = {name: self.fleet[name] - count for name, count in self.working.items()}
        return {
            name: (low + more[name] if low else 0, high + more[name] if high else 0)
            for name, (low, high) in self.ends().items()
        }

    def users(self, home: str, served_in: str, rate_per_s: float, replica_per_s: float) -> Users:
        """Return what users meet at replicas with that rate each."""
        network_ms, objectives = self._round_trip_ms[home][served_in], self._within(home, served_in)
        tails = [speed.tails(replica_per_s, objectives) for speed in self._speeds]
        ttft_ms = self._figure(one.ttft_ms[0.99] + network_ms for one in tails)
        latency_ms = self._figure(one.latency_ms[0.99] + network_ms for one in tails)
        return Users(home, served_in, rate_per_s, ttft_ms, latency_ms, tails[0].share_within)

    def _figure(self, values: Iterable[float]) -> Figure:
        found = tuple(values)
        return Figure(found[0], min(found), max(found), self._source)

    def ends(self) -> dict[str, tuple[int, int]]:
        """Return the replicas that a region needs at the fastest and slowest that they may be; 0: none is enough."""
        return {name: (self._needed(name, 1), self._needed(name, 2)) for name in self.rates if len(self._speeds) > 1}

    def _needed(self, name: str, speed: int) -> int:
        try:
            return least_replicas(self.rates[name], self._speeds[speed].highest(self._within(name, name)))
        except AnswerIsNo:
            return 0

    def loss(self, lost: str, fleet: Mapping[str, int]) -> Loss:
        """Return what becomes of everybody where a region is lost."""
        moved, refused = self._moved(lost, fleet)
        each = {name: (self.rates[name] + moved.get(name, 0.0)) / fleet[name] for name in fleet if name != lost}
        users = [self.users(name, name, self.rates[name], rate) for name, rate in each.items()]
        users += [self.users(lost, name, rate, each[name]) for name, rate in moved.items()]
        most_per_s = self._speeds[0].most_per_s
        utilisation = {name: rate / most_per_s for name, rate in each.items()}
        return Loss(lost, tuple(users), utilisation, refused, self._taker(lost) is not None)

    def surviving(self, fleet: Mapping[str, int]) -> dict[str, int]:
        """Return the fleet with what it lacks so that nobody is refused, added where the lost region's users go first.

        The largest region is lost first: what is added for it has room for the others. Nothing is added for users whom
        no other region is near enough to.
        """
        found = dict(fleet)
        for lost in sorted(self.rates, key=lambda name: (-self.rates[name], name)):
            moved, refused = self._moved(lost, found)
            taker = self._taker(lost) if refused else None
            if taker is not None:
                served = self.rates[taker] + moved.get(taker, 0.0) + refused
                found[taker] = max(found[taker], least_replicas(served, self._highest_with(lost, taker)))
            while late := self._late(lost, found):  # who met a worse moment
                found[late] += 1
        return found

    def require_takers(self) -> None:
        """Refuse a loss after which users cannot be served in time, however many replicas there are.

        Raises: AnswerIsNo.
        """
        for lost, others in self.spill_over.items():
            if others and self._taker(lost) is None:
                nearest_ms = self._round_trip_ms[lost][others[0]]
                message = (
                    f"the loss of region {lost} cannot be survived: no number of replicas elsewhere answers its users "
                    f"in time, who are {nearest_ms:g} ms from the nearest, {others[0]}"
                )
                raise AnswerIsNo(message, hint="allow more time, add a region nearer to them, or plan without survive")

    def _taker(self, lost: str) -> str | None:
        """Return the first region that answers users of a lost one in time, if it has replicas enough."""
        return next((name for name in self.spill_over[lost] if self._highest_with(lost, name) > 0), None)

    def _late(self, lost: str, fleet: Mapping[str, int]) -> str | None:
        """Return a region that takes users over and keeps theirs or its own waiting too long."""
        moved, _ = self._moved(lost, fleet)
        for name, taken in moved.items():
            tails = [
                self._speeds[0].tails((self.rates[name] + taken) / fleet[name], self._within(home, name))
                for home in (name, lost)
            ]
            if min(one.share_within for one in tails) < self._objectives.share:
                return name
        return None

    def _moved(self, lost: str, fleet: Mapping[str, int]) -> tuple[dict[str, float], float]:
        """Return the requests per second that each region takes over, and what is left of them."""
        left, moved = self.rates[lost], {}
        for name in self.spill_over[lost]:
            if not left:
                break
            taken = min(left, fleet[name] * self._highest_with(lost, name) - self.rates[name])
            if taken > LEAST_PER_S:
                moved[name] = taken
                left = left - taken if left - taken > LEAST_PER_S else 0.0
        return moved, left

    def _highest_with(self, lost: str, name: str) -> float:
        """Return the highest rate of a region's replicas that serve a lost one's users too; 0: these wait too long."""
        network_ms = self._round_trip_ms[lost][name]
        if network_ms <= self._round_trip_ms[name][name]:
            return self.highest[name]
        if network_ms not in self._highest_ms:
            left = within(self._objectives, network_ms)
            try:
                self._highest_ms[network_ms] = 0.0 if _is_used_up(left) else self._speeds[0].highest(left)
            except AnswerIsNo:
                self._highest_ms[network_ms] = 0.0
        return min(self.highest[name], self._highest_ms[network_ms])

    def _within(self, home: str, served_in: str) -> Objectives:
        """Return what a region's replicas have for users of another or their own."""
        return within(self._objectives, self._round_trip_ms[home][served_in])

    def _working(self, name: str) -> tuple[int, float]:
        """Return the replicas of a region that answer its own users, and the highest rate of each.

        Raises: AnswerIsNo where the network takes all the time, or an idle replica is too slow.
        """
        left, network_ms = self._within(name, name), self._round_trip_ms[name][name]
        if _is_used_up(left):
            message = f"region {name}: the network takes {network_ms:g} ms, and answers are to take no longer"
            raise AnswerIsNo(message, hint="allow more time, or put replicas nearer to these users")
        try:
            return working_at(self._speeds[0], self.rates[name], left)
        except AnswerIsNo as no:
            message = f"region {name}: {no.message}, its network's {network_ms:g} ms taken off"
            raise AnswerIsNo(message, hint=no.hint) from None


def within(objectives: Objectives, network_ms: float) -> Objectives:
    """Return what is left of objectives for replicas; the time between tokens is the same at both ends."""
    ttft_ms, latency_ms = (
        None if ms is None else ms - network_ms for ms in (objectives.ttft_ms, objectives.latency_ms)
    )
    return replace(objectives, ttft_ms=ttft_ms, latency_ms=latency_ms)


def _is_used_up(left: Objectives) -> bool:
    """Whether the network has taken all the time that there is."""
    return any(ms is not None and ms <= 0 for ms in (left.ttft_ms, left.latency_ms))


def rates_of(regions: Regions, whole_per_s: float) -> dict[str, float]:
    """Return each region's part of the requests per second."""
    shares = sum(regions.shares.values())
    return {name: share * whole_per_s / shares for name, share in regions.shares.items()}


def require_sense(regions: Regions) -> None:
    """Refuse shares and round trips that are none.

    Raises: UsageError.
    """
    if not regions.shares or any(not 0 < share < math.inf for share in regions.shares.values()):
        raise UsageError(f"not shares of a traffic by region: {dict(regions.shares)}", hint="give each one above 0")
    for home in regions.shares:
        for other in regions.shares:
            if not 0 <= regions.round_trip_ms.get(home, {}).get(other, math.nan) < math.inf:
                hint = "the matrix has milliseconds from each region to each, the same one included"
                raise UsageError(f"no round trip from {home} to {other}", hint=hint)
