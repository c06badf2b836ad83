"""Which way of sharing a GPU suits, with its reason: isolation, density, latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.catalog.mig import MIB, MIG, MigProfile
from tritonsmith.generator.spec.sharing import LEAST_SHARES, MOST_MPS_SHARES, Mode, Sharing

BUSY = 0.8  # of a GPU's time, all servers together: above it who shares waits for others most of the time
_IDLE = 0.1


@dataclass(frozen=True)
class Traits:
    """What a way of sharing is like.

    Source: k8s-device-plugin: README (Shared Access to GPUs); NVIDIA's guides of MIG and MPS.
    """

    isolation: str
    density: str
    latency: str


TRAITS: Mapping[Mode, Traits] = {
    "none": Traits("complete: nobody else is on the GPU", "one server for each GPU", "the GPU's own"),
    "instances": Traits(
        "none: one process, whose models fail together",
        "as many models as fit into memory; no context, no server twice",
        "best: one server batches for all, and its scheduler knows who waits",
    ),
    "mps": Traits(
        "memory beyond a share is refused; a fault of one client can end the others",
        f"2 to {MOST_MPS_SHARES} equal shares",
        "good while others idle: kernels run at the same time; all share caches and the memory's bandwidth",
    ),
    "time-slicing": Traits(
        "none: memory is anybody's, and a server that runs out of it takes others with it",
        "any number",
        "others' turns are waited for: the tail grows with each busy neighbour",
    ),
    "mig": Traits(
        "memory, its bandwidth, processors and faults are kept apart in hardware",
        "up to 7 slices, of the few sizes that a GPU has",
        "steady, whatever others do; a slice is as slow as it is small, and no engine spans two",
    ),
}


@dataclass(frozen=True)
class Wish:
    """What is to share GPUs: `servers` of one kind, each with `memory_bytes` of a GPU and busy for `load` of its time.

    `gpus` is what one server needs. `has_strangers`: they belong to people who do not trust one another. `has_tail`: a
    quantile of the latency is promised. `is_one_repository`: their models can be served by one server.
    """

    servers: int
    memory_bytes: float
    load: float
    gpus: int = 1
    is_llm: bool = False
    has_strangers: bool = False
    has_tail: bool = False
    is_one_repository: bool = False


@dataclass(frozen=True)
class Advice:
    """The setting, why, and why none of those that were looked at before it."""

    sharing: Sharing
    reason: str
    others: tuple[tuple[Mode, str], ...] = ()

    @property
    def traits(self) -> Traits:
        """What the chosen way is like."""
        return TRAITS[self.sharing.mode]


def advice(wish: Wish, gpu: Gpu) -> Advice:
    """Return how servers should share a GPU: the first way, of the strictest need first, that nothing speaks against.

    Whoever needs isolation, a tail or an engine's bandwidth gets a MIG slice; models of one owner one server; servers
    that trust one another MPS; what is hardly used time-slicing; else a GPU each.
    """
    if wish.gpus > 1:
        return Advice(
            Sharing(), f"a server needs {wish.gpus} GPUs, and no engine spans shares: they do not reach others"
        )
    if wish.servers == 1:
        return Advice(Sharing(), "there is nobody to share with")
    others: list[tuple[Mode, str]] = []
    for judge in (_mig, _instances, _mps, _time_slicing):
        sharing, reason = judge(wish, gpu)
        if sharing is not None:
            return Advice(sharing, reason, tuple(others))
        others.append((_MODES[judge], reason))
    return Advice(Sharing(), "every way of sharing has something against it", tuple(others))


_Judged = tuple[Sharing | None, str]  # the setting and its reason, or None and what speaks against it


def _mig(wish: Wish, gpu: Gpu) -> _Judged:
    needs = {
        "they belong to strangers": wish.has_strangers,
        "a tail is promised": wish.has_tail,
        "engines live by the memory's bandwidth": wish.is_llm,
    }
    asked = " and ".join(words for words, is_so in needs.items() if is_so)
    if not asked:
        return None, "nothing asks for it: no strangers, no promised tail, no engine"
    if gpu.name not in MIG:
        return None, f"{gpu.name} GPUs cannot be cut"
    profile = smallest_slice(wish, gpu)
    if profile is None:
        return (
            None,
            f"no part of a {gpu.name} has {_mib(wish.memory_bytes)} and processors for {wish.load:.0%} of its load",
        )
    sharing = Sharing(mode="mig", profile=profile.name)
    return sharing, f"{asked}; of {profile.name}, the smallest that does, a GPU has {profile.most}"


def _instances(wish: Wish, gpu: Gpu) -> _Judged:
    if not wish.is_one_repository:
        return None, "the models are not one server's"
    if wish.has_strangers:
        return None, "one process keeps nobody apart"
    if wish.is_llm:
        return None, _HUNGER
    if wish.memory_bytes * wish.servers > gpu.memory_bytes:
        return None, f"{_mib(wish.memory_bytes * wish.servers)} are more than the GPU's {_mib(gpu.memory_bytes)}"
    if wish.load * wish.servers > BUSY:
        return None, _too_busy(wish, wish.servers)
    return Sharing(mode="instances"), f"one owner, {_busy(wish, wish.servers)}: one server batches for all"


def _mps(wish: Wish, gpu: Gpu) -> _Judged:
    if wish.has_strangers:
        return None, "a fault of one client can end the others"
    if wish.is_llm:
        return None, "engines live by the memory's bandwidth, which it does not part"
    count, objection = _shares(wish, gpu)
    if objection:
        return None, objection
    if wish.load * wish.servers < _IDLE and not wish.has_tail:
        return None, "so little is asked that turns do, and it is experimental"
    count = min(count, MOST_MPS_SHARES)
    return Sharing(mode="mps", replicas=count), f"they trust one another, {_busy(wish, count)}, {_room(wish)}"


def _time_slicing(wish: Wish, gpu: Gpu) -> _Judged:
    if wish.has_strangers:
        return None, "it keeps nobody apart"
    if wish.is_llm:
        return None, _HUNGER
    if wish.has_tail:
        return None, "a promised tail does not survive others' turns"
    count, objection = _shares(wish, gpu)
    if objection:
        return None, objection
    sharing = Sharing(mode="time-slicing", replicas=count)
    return sharing, f"{_busy(wish, count)}, {_room(wish)}, and no tail is promised"


_HUNGER = "an engine takes nine tenths of the memory that is free, and leaves the next nothing"
_MODES: Mapping[Callable[[Wish, Gpu], _Judged], Mode] = {
    _mig: "mig",
    _instances: "instances",
    _mps: "mps",
    _time_slicing: "time-slicing",
}


def smallest_slice(wish: Wish, gpu: Gpu) -> MigProfile | None:
    """Return the slice of which a GPU has most, two at least, with a server's memory and room for its load.

    What an engine is busy with may be arithmetic or reading memory: of both the slice needs its part.
    """
    enough = [
        profile
        for profile in MIG.get(gpu.name, {}).values()
        if profile.most >= LEAST_SHARES and profile.memory_bytes >= wish.memory_bytes
        if _part(profile, is_llm=wish.is_llm) * BUSY >= wish.load
    ]
    return min(enough, key=lambda profile: (-profile.most, profile.memory, profile.compute), default=None)


def _part(profile: MigProfile, *, is_llm: bool) -> float:
    return min(profile.compute_share, profile.memory_share) if is_llm else profile.compute_share


def _shares(wish: Wish, gpu: Gpu) -> tuple[int, str]:
    """Return how many servers share a GPU: as many as fit by memory and by load; 0 and why where two do not."""
    by_memory = int(gpu.memory_bytes // wish.memory_bytes) if wish.memory_bytes else wish.servers
    by_load = int(BUSY / wish.load) if wish.load else wish.servers
    if by_memory < LEAST_SHARES:
        return 0, f"two of {_mib(wish.memory_bytes)} are more than the GPU's {_mib(gpu.memory_bytes)}"
    if by_load < LEAST_SHARES:
        return 0, _too_busy(wish, LEAST_SHARES)
    return max(LEAST_SHARES, min(by_memory, by_load, wish.servers)), ""


def _busy(wish: Wish, count: int) -> str:
    return f"{count} are busy for {wish.load * count:.0%} of a GPU's time"


def _too_busy(wish: Wish, count: int) -> str:
    return f"{_busy(wish, count)}, and above {BUSY:.0%} they mostly wait for each other"


def _room(wish: Wish) -> str:
    return f"each has room for {_mib(wish.memory_bytes)}"


def _mib(size: float) -> str:
    return f"{size / MIB:.0f} MiB"
