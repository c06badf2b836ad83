"""Models as replicas, each with what it would take of each kind of GPU: all that a search has to know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.plan.packing.core import Fleet, Kind, Tenant
from tritonsmith.perf.plan.packing.tails import Demand, decay_needed, keep_with_longest

MOST_REPLICAS = 1000
GPU_SHARE = 0.1  # a GPU is waited for during milliseconds, the room of those on demand during a load or two


@dataclass(frozen=True)
class Claim:
    """What a replica takes of a kind of GPU's time and, on demand, of the room's where models take turns."""

    time: Demand
    turn: Demand | None = None


@dataclass(frozen=True)
class Copy:
    """One replica; `claims` by the place of the kind, None where it cannot lie on it. `memory_bytes` is certain."""

    tenant: str
    memory_bytes: int
    claims: tuple[Claim | None, ...]
    owner: str = ""
    is_alone: bool = False
    has_rate: bool = False

    @property
    def is_on_demand(self) -> bool:
        """Whether it takes turns with others."""
        return any(claim is not None and claim.turn is not None for claim in self.claims)


def copies_of(tenant: Tenant, fleet: Fleet, *, on_demand: bool = False) -> tuple[Copy, ...]:
    """Return a model's replicas: those asked for, or as many as its rate needs.

    Raises: AnswerIsNo where no GPU could hold one, or none answers a single request in time.
    """
    least = max(tenant.replicas, tenant.spare + 1)
    most = least if tenant.replicas else MOST_REPLICAS
    for count in range(least, most + 1):
        copy = _copy(tenant, count, fleet, on_demand=on_demand)
        if any(copy.claims):
            return (copy,) * count
    raise _why_none(tenant, most, fleet)


def _copy(tenant: Tenant, count: int, fleet: Fleet, *, on_demand: bool) -> Copy:
    rate_per_s = tenant.rate_per_s / (count - tenant.spare)
    claims = tuple(_claim(tenant, rate_per_s, kind, fleet, on_demand=on_demand) for kind in fleet.kinds)
    memory_bytes = math.ceil(tenant.memory_bytes.high)
    return Copy(tenant.name, memory_bytes, claims, tenant.owner, tenant.is_alone, tenant.rate_per_s > 0)


def _claim(tenant: Tenant, rate_per_s: float, kind: Kind, fleet: Fleet, *, on_demand: bool) -> Claim | None:
    """Return what a replica takes of a kind of GPU; None where it is too much even for one that is empty.

    On demand, a tenth of the time that a limit leaves is for waiting for the GPU, the rest for waiting until the room
    is free; half of the requests that may be late may be so for either. The room is taken while they wait for the GPU.
    """
    seconds, variation = tenant.seconds_on(kind.name), tenant.variation
    if tenant.memory_bytes.high > kind.memory_bytes or not math.isfinite(seconds):
        return None
    if not on_demand:
        needed = decay_needed(tenant.limit_s, tenant.share, seconds, variation)
        time = Demand(rate_per_s, seconds, needed, variation, tenant.limit_s - seconds, tenant.share)
        is_possible = _is_possible(time, fleet.most_load, can_be_alone=True)
        return Claim(time) if is_possible else None
    cold_s = cold_seconds(tenant, fleet)
    left_s, each = tenant.limit_s - seconds - cold_s, each_half(tenant.share)
    here_s = seconds + GPU_SHARE * left_s
    time = Demand(rate_per_s, seconds, decay_needed(here_s, each, seconds, variation), variation)
    taken_s = cold_s + (here_s if math.isfinite(here_s) else seconds)
    turn = Demand(rate_per_s, taken_s, decay_needed((1 - GPU_SHARE) * left_s, each))
    return Claim(time, turn) if all(_is_possible(one, fleet.most_load) for one in (time, turn)) else None


def each_half(share: float) -> float:
    """Return the share of requests that each of two waits has to keep to, so that this share keeps to both."""
    return (1 + share) / 2


def cold_seconds(tenant: Tenant, fleet: Fleet) -> float:
    """Return how long a model takes to load: its bytes over the disk's rate."""
    if fleet.disk_bytes_per_s <= 0:
        return math.inf
    return (tenant.load_bytes or tenant.memory_bytes.value) / fleet.disk_bytes_per_s


def _is_possible(demand: Demand, most_load: float, *, can_be_alone: bool = False) -> bool:
    if demand.decay_per_s == math.inf or demand.load > most_load:
        return False
    return demand.weight(demand.decay_per_s) <= 1 or (can_be_alone and keep_with_longest([demand]))


def _why_none(tenant: Tenant, count: int, fleet: Fleet) -> AnswerIsNo:
    where, kinds = f"models.{tenant.name}", fleet.kinds
    most = max(kind.memory_bytes for kind in kinds)
    if tenant.memory_bytes.high > most:
        message = f"{_gib(tenant.memory_bytes.high)} GiB do not fit on one GPU, which has room for {_gib(most)}"
        return AnswerIsNo(message, where=where, hint="plan it alone over several GPUs, and leave those out of `gpus`")
    if all(tenant.seconds_on(kind.name) >= tenant.limit_s for kind in kinds):
        message = f"a request alone takes longer than its limit of {tenant.limit_s * 1e3:g} ms"
        return AnswerIsNo(message, where=where, hint="allow more time, or name a faster GPU")
    message = f"{count} replicas cannot answer {tenant.rate_per_s:g} requests/s within the limit, each alone on a GPU"
    few = "leave `replicas` out: as many are taken as the rate needs"
    return AnswerIsNo(message, where=where, hint=few if tenant.replicas else "name a faster GPU, or allow more time")


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f}"


@dataclass(frozen=True)
class Shares:
    """What a replica takes of a GPU at the least: of its memory, of what its limit leaves, of its time."""

    memory: float
    weight: float
    load: float

    @property
    def time(self) -> float:
        """The share of what may be asked of a GPU's time."""
        return max(self.weight, self.load)


def shares_of(copy: Copy, kinds: Sequence[Kind], most_load: float) -> Shares:
    """Return the least shares that a replica takes on any kind where it can lie."""
    found = [(kind, claim.time) for kind, claim in zip(kinds, copy.claims, strict=True) if claim is not None]
    return Shares(
        min(copy.memory_bytes / kind.memory_bytes for kind, _ in found),
        min(time.least_weight for _, time in found),
        min(time.load / most_load for _, time in found),
    )
