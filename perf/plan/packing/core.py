"""The nouns of packing: models that are to share GPUs, the GPUs there are, and which model lies on which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tritonsmith.perf.plan.core import Figure

ANY = ""  # the kind of GPU that stands for all
MOST_LOAD = 0.8  # of a GPU's time: what is asked of it may rise by a quarter before it falls behind


@dataclass(frozen=True)
class Tenant:
    """A model that is to lie on GPUs beside others.

    Without a rate its load is not known, and nobody who has a limit shares with it. A replica has
    `rate_per_s / (replicas - spare)` requests to answer, since `spare` of them may be lost; `share` of all requests is
    to be answered within `limit_s`. `service_s` is how long one request keeps a GPU busy, by kind, in the mean;
    `variation` its standard deviation over that.
    """

    name: str
    memory_bytes: Figure  # on its GPU, of one replica
    rate_per_s: float = 0.0
    service_s: Mapping[str, float] = field(default_factory=dict)
    variation: float = 0.0
    limit_s: float = math.inf
    share: float = 0.99
    replicas: int = 0  # 0: as many as the rate needs
    spare: int = 0
    load_bytes: float = 0.0  # read from disk before it can answer; 0: as many as it then takes
    owner: str = ""  # no GPU is shared by models of two owners
    is_alone: bool = False  # it shares its GPUs with nobody
    is_resident: bool = False  # it may not be loaded on demand
    note: str = ""  # what it has to be given so that it takes no more than this

    def seconds_on(self, kind: str) -> float:
        """Return how long a request keeps a GPU of this kind busy; infinite where that is not known."""
        if not self.service_s:
            return math.inf if self.rate_per_s else 0.0
        return self.service_s.get(kind, self.service_s.get(ANY, math.inf))


@dataclass(frozen=True)
class Kind:
    """GPUs that are alike. `memory_bytes` is what models may take of each, `source` how that comes about."""

    name: str
    memory_bytes: int
    count: int
    price_per_hour: float = 1.0  # of one
    source: str = ""


@dataclass(frozen=True)
class Fleet:
    """What is to be packed. A cold load reads `disk_bytes_per_s`; 0: nothing is loaded on demand."""

    tenants: tuple[Tenant, ...]
    kinds: tuple[Kind, ...]
    disk_bytes_per_s: float = 0.0
    most_load: float = MOST_LOAD


@dataclass(frozen=True)
class Lying:
    """One replica on one GPU: what it takes of it, and the time within which its share of requests is answered."""

    tenant: str
    memory_bytes: int
    rate_per_s: float  # of this replica
    busy_s: float  # of the GPU, for one request
    within_s: float  # an upper bound; infinite where no rate is known
    is_on_demand: bool = False
    cold_s: float = 0.0  # of `within_s`, for a load that every request is taken to need

    @property
    def load(self) -> float:
        """The share of the GPU's time that it takes."""
        return self.rate_per_s * self.busy_s


@dataclass(frozen=True)
class Card:
    """One GPU and what lies on it. Models on demand take turns in the room of the largest of them.

    Of all requests a share of exp(-decay_per_s x t) waits longer than t, at most; see tails.
    """

    kind: str
    number: int  # among those of its kind, from 0
    memory_bytes: int
    lying: tuple[Lying, ...]
    decay_per_s: float

    @property
    def used_bytes(self) -> int:
        """Memory that is taken at most."""
        turns = (one.memory_bytes for one in self.lying if one.is_on_demand)
        return sum(one.memory_bytes for one in self.lying if not one.is_on_demand) + max(turns, default=0)

    @property
    def load(self) -> float:
        """The share of time in which the GPU is busy."""
        return sum(one.load for one in self.lying)


@dataclass(frozen=True)
class Packing:
    """What lies where.

    No packing of the same models, the same ones on demand, costs less than `least_price` per hour or has fewer GPUs
    than `least_cards`.
    """

    cards: tuple[Card, ...]
    price_per_hour: float
    least_price: float
    least_cards: int
    on_demand: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether nothing better exists."""
        return self.price_per_hour <= self.least_price * (1 + 1e-9)
