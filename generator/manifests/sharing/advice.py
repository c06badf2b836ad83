"""Which way of sharing a GPU suits, with its reason: isolation, density, latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.catalog.mig import MIB, MIG, MigProfile
from tritonsmith.generator.spec.sharing import LEAST_SHARES, MOST_MPS_SHARES, Mode

_BUSY = 0.8  # of a GPU's time, all servers together: above it who shares waits for others most of the time


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
    """The setting, as a spec says it, why, and why none of the others."""

    sharing: str
    reason: str
    others: tuple[tuple[str, str], ...] = ()

    @property
    def traits(self) -> Traits:
        """What the chosen way is like."""
        return next(traits for mode, traits in TRAITS.items() if self.sharing.startswith(mode))


def advice(wish: Wish, gpu: Gpu) -> Advice:
    """Return how servers should share a GPU: the first way, of the strictest need first, that nothing speaks against.

    Whoever needs isolation or a tail gets MIG; models of one owner one server; servers that trust one another MPS; what
    is hardly used time-slicing; else a GPU each.
    """
    others: list[tuple[str, str]] = []
    for mode, judge in _WAYS:
        setting, objection = judge(wish, gpu)
        if not objection:
            return Advice(setting, _reason(mode, wish, gpu, setting), tuple(others))
        others.append((mode, objection))
    return Advice("none", _reason("none", wish, gpu, "none"), tuple(others))


def _whole(wish: Wish, gpu: Gpu) -> tuple[str, str]:
    if wish.gpus > 1:
        return "none", ""
    if wish.servers == 1:
        return "none", ""
    return "none", "a GPU each costs most: the others are looked at first"


def _instances(wish: Wish, gpu: Gpu) -> tuple[str, str]:
    if not wish.is_one_repository:
        return "", "the models are not one server's"
    if wish.has_strangers:
        return "", "one process keeps nobody apart"
    if wish.memory_bytes * wish.servers > gpu.memory_bytes:
        return "", f"{_mib(wish.memory_bytes * wish.servers)} are more than the GPU's {_mib(gpu.memory_bytes)}"
    if wish.load * wish.servers > _BUSY:
        return "", _too_busy(wish)
    return "instances", ""


def _mig(wish: Wish, gpu: Gpu) -> tuple[str, str]:
    if not (wish.has_strangers or wish.has_tail or wish.is_llm):
        return "", "nothing asks for it: no strangers, no promised tail"
    profile = smallest_slice(wish, gpu)
    if gpu.name not in MIG:
        return "", f"{gpu.name} GPUs cannot be cut"
    if profile is None:
        return "", f"no slice of less than a whole {gpu.name} has {_mib(wish.memory_bytes)} and enough processors"
    return f"mig:{profile.name}", ""


def _mps(wish: Wish, gpu: Gpu) -> tuple[str, str]:
    fit = int(gpu.memory_bytes // max(wish.memory_bytes, 1))
    if wish.has_strangers:
        return "", "a fault of one client can end the others"
    if fit < LEAST_SHARES:
        return "", f"two of {_mib(wish.memory_bytes)} are more than the GPU's {_mib(gpu.memory_bytes)}"
    if wish.load * LEAST_SHARES > _BUSY:
        return "", _too_busy(wish)
    if wish.load * wish.servers < _BUSY / 8 and not wish.has_tail and not wish.is_llm:
        return "", "so little is asked that turns do"
    by_load = int(_BUSY / wish.load) if wish.load else fit
    return f"mps of {max(LEAST_SHARES, min(fit, by_load, wish.servers, MOST_MPS_SHARES))}", ""


def _time_slicing(wish: Wish, gpu: Gpu) -> tuple[str, str]:
    if wish.has_strangers:
        return "", "it keeps nobody apart"
    if wish.is_llm:
        return "", "an engine takes nine tenths of the memory that is free, and leaves the next nothing"
    if wish.has_tail:
        return "", "a promised tail does not survive others' turns"
    fit = int(gpu.memory_bytes // max(wish.memory_bytes, 1))
    if fit < LEAST_SHARES:
        return "", f"two of {_mib(wish.memory_bytes)} are more than the GPU's {_mib(gpu.memory_bytes)}"
    if wish.load * LEAST_SHARES > _BUSY:
        return "", _too_busy(wish)
    return f"time-slicing of {max(LEAST_SHARES, min(fit, wish.servers))}", ""


_WAYS = (("none", _whole), ("instances", _instances), ("mig", _mig), ("mps", _mps), ("time-slicing", _time_slicing))


def smallest_slice(wish: Wish, gpu: Gpu) -> MigProfile | None:
    """Return the smallest slice, of which a GPU has two at least, with a server's memory and processors for its load.

    Of two with as much memory the one with more processors fits less often, and the one that fits more often is taken.
    """
    enough = [
        profile
        for profile in MIG.get(gpu.name, {}).values()
        if profile.most >= LEAST_SHARES and profile.memory_bytes >= wish.memory_bytes
        if profile.compute_share * _BUSY >= wish.load
    ]
    return min(enough, key=lambda profile: (-profile.most, profile.memory, profile.compute), default=None)


def _reason(mode: Mode, wish: Wish, gpu: Gpu, setting: str) -> str:
    if mode == "none" and wish.gpus > 1:
        return f"a server needs {wish.gpus} GPUs, and no engine spans shares: they do not reach each other"
    if mode == "none":
        return "there is nobody to share with" if wish.servers == 1 else "nothing else will do"
    if mode == "mig":
        needs = {"strangers share it": wish.has_strangers, "a tail is promised": wish.has_tail}
        asked = " and ".join(word for word, is_so in needs.items() if is_so)
        asked = asked or "an engine takes nine tenths of the memory that it sees"
        return f"{asked}; {setting.removeprefix('mig:')} is the smallest slice with {_mib(wish.memory_bytes)}"
    busy = f"together they are busy for {min(wish.load * wish.servers, 1):.0%} of the time"
    return {
        "instances": f"one owner, and {busy}: one server batches for all",
        "mps": f"they trust one another, each has room for {_mib(wish.memory_bytes)}, and {busy}",
        "time-slicing": f"{busy}, and no tail is promised",
    }[mode]


def _too_busy(wish: Wish) -> str:
    return f"each is busy for {wish.load:.0%} of a GPU's time: who shares would wait most of it"


def _mib(size: float) -> str:
    return f"{size / MIB:,.0f} MiB".replace(",", " ")
