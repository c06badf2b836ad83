"""A traffic from several regions: replicas in each, who helps out, and what the loss of one does to the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Objectives, Traffic
from tritonsmith.perf.plan.replicas.arrivals import traffic_rate_per_s
from tritonsmith.perf.plan.replicas.inflight import Served
from tritonsmith.perf.plan.replicas.replica import Replica, highest_rate, most_per_s, serve_at, tails_of
from tritonsmith.perf.plan.steps.remembered import RememberedTimes

RoundTrips = Mapping[str, Mapping[str, float]]  # ms, from users of a region to replicas of a region, their own too
LEAST_PER_S = 1e-9


@dataclass(frozen=True)
class Users:
    """What users of region `home` meet at replicas of another or their own: p99s, with the network's round trip."""

    home: str
    served_in: str
    rate_per_s: float
    ttft_p99_ms: float
    latency_p99_ms: float
    share_within: float  # of their requests that keep to the objectives


@dataclass(frozen=True)
class Loss:
    """What the loss of a region does: who is served where, how full the others are, and what nobody has room for."""

    region: str
    users: tuple[Users, ...]
    utilisation: Mapping[str, float]
    refused_per_s: float


@dataclass(frozen=True)
class RegionalPlan:
    """Replicas by region, spare ones included; with `to_survive` no loss of a region leaves anybody without room."""

    replicas: Mapping[str, int]
    spill_over: Mapping[str, tuple[str, ...]]  # by region, those that take over its users, the first ones first
    users: tuple[Users, ...]  # all regions up, the spare replicas down
    losses: tuple[Loss, ...]
    to_survive: Mapping[str, int]


def plan_regions(
    replica: Replica,
    traffic: Traffic,
    objectives: Objectives,
    shares: Mapping[str, float],
    round_trip_ms: RoundTrips,
    *,
    spare: int = 1,
    seed: int = 0,
) -> RegionalPlan:
    """Return how regions that share a traffic serve it, each for its own users as long as it stands.

    `shares` are parts of the traffic's rate. The objectives are the users': what the network takes of them, replicas do
    not have. Users of a lost region go where the round trip is shortest and replicas, spare ones too, have room within
    the objectives there; what no region has room for is refused.

    Raises: UsageError; AnswerIsNo where an idle replica of a region is too slow for its own users.
    """
    _require_sense(shares, round_trip_ms)
    whole_per_s = traffic_rate_per_s(traffic) / sum(shares.values())
    rates = {name: share * whole_per_s for name, share in shares.items()}
    world = _World(replica, traffic, objectives, rates, round_trip_ms, seed)
    working = {name: math.ceil(rate / world.highest[name] - 1e-9) for name, rate in rates.items()}
    fleet = {name: count + spare for name, count in working.items()}
    users = tuple(world.users(name, name, rate, rate / working[name]) for name, rate in rates.items())
    losses = tuple(world.loss(name, fleet) for name in rates) if len(rates) > 1 else ()
    return RegionalPlan(fleet, world.spill_over, users, losses, world.surviving(fleet))


class _World:
    """Regions with the same kind of replica, simulated once for each rate that it meets."""

    def __init__(
        self,
        replica: Replica,
        traffic: Traffic,
        objectives: Objectives,
        rates_per_s: Mapping[str, float],
        round_trip_ms: RoundTrips,
        seed: int,
    ) -> None:
        self._replica = replace(replica, times=RememberedTimes(replica.times))
        self._traffic, self._objectives = traffic, objectives
        self._rates, self._round_trip_ms, self._seed = rates_per_s, round_trip_ms, seed
        self._served: dict[float, Served] = {}
        self._most_per_s = most_per_s(self._replica, traffic)
        self.spill_over = {
            home: tuple(sorted((n for n in rates_per_s if n != home), key=lambda n: (round_trip_ms[home][n], n)))
            for home in rates_per_s
        }
        self.highest = {name: self._highest(name) for name in rates_per_s}

    def users(self, home: str, served_in: str, rate_per_s: float, replica_per_s: float) -> Users:
        """Return what users meet at replicas with that rate each."""
        network_ms = self._round_trip_ms[home][served_in]
        served = self._served_at(replica_per_s)
        tails = tails_of(served, within(self._objectives, network_ms), replica_per_s / self._most_per_s)
        ttft_ms, latency_ms = tails.ttft_ms[0.99] + network_ms, tails.latency_ms[0.99] + network_ms
        return Users(home, served_in, rate_per_s, ttft_ms, latency_ms, tails.share_within)

    def loss(self, lost: str, fleet: Mapping[str, int]) -> Loss:
        """Return what becomes of everybody where a region is lost."""
        moved, refused = self._moved(lost, fleet)
        each = {name: (self._rates[name] + moved.get(name, 0.0)) / fleet[name] for name in fleet if name != lost}
        users = [self.users(name, name, self._rates[name], rate) for name, rate in each.items()]
        users += [self.users(lost, name, rate, each[name]) for name, rate in moved.items()]
        return Loss(lost, tuple(users), {name: rate / self._most_per_s for name, rate in each.items()}, refused)

    def surviving(self, fleet: Mapping[str, int]) -> dict[str, int]:
        """Return the fleet with what it lacks so that nobody is refused, added where the lost region's users go first.

        The largest region is lost first: what is added for it has room for the others.
        """
        found = dict(fleet)
        for lost in sorted(self._rates, key=lambda name: (-self._rates[name], name)):
            refused = self._moved(lost, found)[1]
            if refused > 0 and self.spill_over[lost]:
                nearest = self.spill_over[lost][0]
                found[nearest] += math.ceil(refused / self.highest[nearest] - 1e-9)
        return found

    def _moved(self, lost: str, fleet: Mapping[str, int]) -> tuple[dict[str, float], float]:
        """Return the requests per second that each region takes over, and what is left of them."""
        left, moved = self._rates[lost], {}
        for name in self.spill_over[lost]:
            taken = min(left, fleet[name] * self.highest[name] - self._rates[name])
            if taken > LEAST_PER_S:
                moved[name] = taken
                left -= taken
        return moved, left if left > LEAST_PER_S else 0.0

    def _highest(self, name: str) -> float:
        objectives = within(self._objectives, self._round_trip_ms[name][name])
        try:
            return highest_rate(self._replica, self._traffic, objectives, self._most_per_s, self._seed)
        except AnswerIsNo as no:
            message = f"region {name}: {no.message}, its network's {self._round_trip_ms[name][name]:g} ms taken off"
            raise AnswerIsNo(message, hint=no.hint) from None

    def _served_at(self, rate_per_s: float) -> Served:
        if rate_per_s not in self._served:
            self._served[rate_per_s] = serve_at(self._replica, self._traffic, rate_per_s, self._seed)
        return self._served[rate_per_s]


def within(objectives: Objectives, network_ms: float) -> Objectives:
    """Return what is left of objectives for replicas; the time between tokens is the same at both ends."""
    ttft_ms, latency_ms = (
        None if ms is None else ms - network_ms for ms in (objectives.ttft_ms, objectives.latency_ms)
    )
    return replace(objectives, ttft_ms=ttft_ms, latency_ms=latency_ms)


def _require_sense(shares: Mapping[str, float], round_trip_ms: RoundTrips) -> None:
    if not shares or any(not 0 < share < math.inf for share in shares.values()):
        raise UsageError(f"not shares of a traffic by region: {dict(shares)}", hint="give each region one above 0")
    for home in shares:
        for other in shares:
            if not 0 <= round_trip_ms.get(home, {}).get(other, math.nan) < math.inf:
                hint = "the matrix has milliseconds from each region to each, the same one included"
                raise UsageError(f"no round trip from {home} to {other}", hint=hint)
