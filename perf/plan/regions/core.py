"""The nouns of a traffic from several regions: what is asked, what users meet, what the loss of a region does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tritonsmith.perf.plan.core import Figure

RoundTrips = Mapping[str, Mapping[str, float]]  # ms, from users of a region to replicas of a region, their own too


@dataclass(frozen=True)
class Users:
    """What users of region `home` meet at replicas of another or their own: p99s, with the network's round trip."""

    home: str
    served_in: str
    rate_per_s: float
    ttft_p99_ms: Figure
    latency_p99_ms: Figure
    share_within: float  # of their requests that keep to the objectives


@dataclass(frozen=True)
class Loss:
    """What the loss of a region does: who is served where, how full the others are, and what nobody has room for.

    Room is within the objectives, the network's round trip counted.
    """

    region: str
    users: tuple[Users, ...]
    utilisation: Mapping[str, float]
    refused_per_s: float
    is_survivable: bool = True  # replicas enough elsewhere would answer all


@dataclass(frozen=True)
class Regions:
    """Parts of a traffic by region, of any sum, and the network; with `survive` the loss of one finds room for all."""

    shares: Mapping[str, float]
    round_trip_ms: RoundTrips
    survive: bool = False


@dataclass(frozen=True)
class RegionalPlan:
    """Replicas by region, spare ones included; with `to_survive` no loss of a region leaves anybody without room who
    has another region near enough.

    `between` is how many replicas a region needs where steps take as much less or more time as they may, four times in
    five; 0 where no number is enough, nothing where how long steps take is certain. `cost_per_hour` is of all replicas,
    None without prices.
    """

    replicas: Mapping[str, int]
    between: Mapping[str, tuple[int, int]]
    spill_over: Mapping[str, tuple[str, ...]]  # by region, those that take over its users, the first ones first
    users: tuple[Users, ...]  # all regions up, the spare replicas down
    losses: tuple[Loss, ...]
    to_survive: Mapping[str, int]
    cost_per_hour: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The fewest and the most replicas of all regions that it may take."""
        return ends_of(self.replicas, self.between)


def ends_of(replicas: Mapping[str, int], between: Mapping[str, tuple[int, int]]) -> tuple[float, float]:
    """Return the fewest and the most replicas of all regions; infinite where no number is enough in one of them."""
    if not between:
        return (total := sum(replicas.values())), total
    low, high = (sum(ends[end] or math.inf for ends in between.values()) for end in (0, 1))
    return low, high
