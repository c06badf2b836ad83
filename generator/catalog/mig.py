"""MIG: into which slices each GPU can be cut, and what a slice has of it.

Source: mig-parted bd7160f: deployments/systemd/config-default.yaml, pkg/mig/builder/builder_test.go; NVIDIA's MIG user
guide, "Supported MIG Profiles" (the same name may mean another number on another GPU: nothing follows from it alone).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import GPUS, gpu_named
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean

MIB = 1 << 20
GIB = 1 << 30
MIG_RESOURCE = "nvidia.com/mig-"  # and a slice's name
# Of its part of the memory a slice has at least so much for programs: 16.00 of 17.55 GiB on an H200, the least seen.
_USABLE = 0.91


@dataclass(frozen=True)
class MigProfile:
    """A kind of slice of one GPU: `compute` of its GPU's `compute_slices`, `memory` of its `memory_slices`.

    `most` of them fit on a GPU. `memory_bytes` is what programs find there. `compute_share` is its part of all
    processors that the GPU has without MIG: fewer of them are in slices, 112 of an H100's 132 in seven.
    """

    name: str
    compute: int
    memory: int
    most: int
    compute_slices: int
    memory_slices: int
    memory_bytes: int
    compute_share: float
    source: str

    @property
    def memory_share(self) -> float:
        """Its part of the GPU's memory and of the memory's bandwidth."""
        return self.memory / self.memory_slices

    @property
    def resource(self) -> str:
        """The name by which a pod asks for one."""
        return slice_resource(self.name)

    @property
    def label(self) -> str:
        """The value of nvidia.com/mig.config that cuts every GPU of a node into these.

        Source: mig-parted: pkg/mig/builder/builder.go.
        """
        return f"all-{self.name.replace('+', '.')}"


def slice_resource(name: str) -> str:
    """Return the name by which a pod asks for a slice (strategy `mixed`).

    Source: k8s-device-plugin: internal/rm/rm.go.
    """
    return MIG_RESOURCE + name.replace("+", ".")


# A slice's name and how many fit on a GPU.
_A100_40 = "1g.5gb:7 1g.5gb+me:1 1g.10gb:4 2g.10gb:3 3g.20gb:2 4g.20gb:1 7g.40gb:1"
_80 = "1g.10gb:7 1g.10gb+me:1 1g.20gb:4 2g.20gb:3 3g.40gb:2 4g.40gb:1 7g.80gb:1"
_96 = "1g.12gb:7 1g.12gb+me:1 1g.24gb:4 2g.24gb:3 3g.48gb:2 4g.48gb:1 7g.96gb:1"
_H200 = "1g.18gb:7 1g.18gb+me:1 1g.35gb:4 2g.35gb:3 3g.71gb:2 4g.71gb:1 7g.141gb:1"
_RTX = (
    "1g.24gb:4 1g.24gb+gfx:4 1g.24gb+me.all:1 1g.24gb-me:4 2g.48gb:2 2g.48gb+gfx:2 2g.48gb+me.all:1 2g.48gb-me:2 "
    "4g.96gb:1 4g.96gb+gfx:1"
)
_SLICES: Mapping[str, str] = {
    "A30": "1g.6gb:4 1g.6gb+me:1 2g.12gb:2 2g.12gb+me:1 4g.24gb:1",
    "A100-SXM-40GB": _A100_40,
    "A100-PCIE-40GB": _A100_40,
    "A100-SXM-80GB": _80,
    "A100-PCIE-80GB": _80,
    "H100-SXM-80GB": _80,
    "H100-PCIE-80GB": _80,
    "H100-NVL-94GB": "1g.12gb:7 1g.12gb+me:1 1g.24gb:4 2g.24gb:3 3g.47gb:2 4g.47gb:1 7g.94gb:1",
    "H20-96GB": _96,
    "GH200-96GB": _96,
    "GH200-144GB": "1g.18gb:7 1g.18gb+me:1 1g.36gb:4 2g.36gb:3 3g.72gb:2 4g.72gb:1 7g.144gb:1",
    "H200-SXM-141GB": _H200,
    "H200-NVL-141GB": _H200,
    "B200-SXM-180GB": "1g.23gb:7 1g.23gb+me:1 1g.45gb:4 2g.45gb:3 3g.90gb:2 4g.90gb:1 7g.180gb:1",
    "B300-SXM-269GB": "1g.34gb:7 1g.34gb+me:1 1g.67gb:4 2g.67gb:3 3g.135gb:2 4g.135gb:1 7g.269gb:1",
    # two drivers round differently: 93 and 186, or 95 and 189
    "GB200-186GB": "1g.23gb:7 1g.23gb+me:1 1g.47gb:4 2g.47gb:3 3g.93gb:2 3g.95gb:2 4g.93gb:1 4g.95gb:1 7g.186gb:1 "
    "7g.189gb:1",
    "GB300-278GB": "1g.35gb:7 1g.35gb+me:1 1g.70gb:4 2g.70gb:3 3g.139gb:2 4g.139gb:1 7g.278gb:1",
    "RTX-PRO-6000-96GB": _RTX,
}
# What `nvidia-smi mig -lgip` prints in GiB, by GPU and memory slices, where it was published.
_A100_80_GIB, _H100_80_GIB = {1: 9.50, 2: 19.50, 4: 39.25, 8: 78.50}, {1: 9.75, 2: 19.62, 4: 39.50, 8: 79.25}
_MEASURED_GIB: Mapping[str, Mapping[int, float]] = {
    "A30": {1: 5.81, 4: 23.50},
    "A100-SXM-40GB": {1: 4.75, 4: 19.62, 8: 39.38},
    "A100-PCIE-40GB": {1: 4.75, 4: 19.62, 8: 39.38},
    "A100-SXM-80GB": _A100_80_GIB,
    "A100-PCIE-80GB": _A100_80_GIB,
    "H100-SXM-80GB": _H100_80_GIB,
    "H100-PCIE-80GB": _H100_80_GIB,
    "H200-SXM-141GB": {1: 16.00, 2: 32.50, 8: 140.00},
}
# Processors of a whole GPU, and of slices by their parts of compute and memory, as `nvidia-smi mig -lgip` prints them.
# Of an H200 and a B200 it was published for some; the others have as many for each part as the smallest, which is no
# more than there are (go-nvml 2f9e261: pkg/nvml/mock/gpus).
_A100_SMS = (108, {(1, 1): 14, (1, 2): 14, (2, 2): 28, (3, 4): 42, (4, 4): 56, (7, 8): 98})
_PROCESSORS: Mapping[str, tuple[int, Mapping[tuple[int, int], int]]] = {
    "A100-SXM-40GB": _A100_SMS,
    "A100-PCIE-40GB": _A100_SMS,
    "A100-SXM-80GB": _A100_SMS,
    "A100-PCIE-80GB": _A100_SMS,
    "H100-SXM-80GB": (132, {(1, 1): 16, (1, 2): 26, (2, 2): 32, (3, 4): 60, (4, 4): 64, (7, 8): 132}),
    "H200-SXM-141GB": (132, {(1, 1): 16, (1, 2): 16, (2, 2): 32, (3, 4): 48, (4, 4): 64, (7, 8): 132}),
    "B200-SXM-180GB": (148, {(1, 1): 18, (1, 2): 18, (2, 2): 36, (3, 4): 54, (4, 4): 72, (7, 8): 126}),
}
_FOUR_SLICES = ("A30", "RTX-PRO-6000-96GB")  # GPUs of four slices; the others have seven to compute, eight of memory
_DOUBLE = 4  # of the 1g slices the one of which a GPU holds four has two parts of the memory


def _profile(gpu: str, name: str, most: int) -> MigProfile:
    compute, is_four = int(name[0]), gpu in _FOUR_SLICES
    slices = 4 if is_four else 8
    eighths = {1: 2 if most == _DOUBLE else 1, 2: 2, 3: 4, 4: 4, 7: 8}
    memory = compute if is_four else eighths[compute]
    measured = _MEASURED_GIB.get(gpu, {}).get(memory)
    processors, parts = _PROCESSORS.get(gpu, (4 if is_four else 7, {}))
    bound = GPUS[gpu].memory_bytes * memory / slices * _USABLE
    return MigProfile(
        name=name,
        compute=compute,
        memory=memory,
        most=most,
        compute_slices=4 if is_four else 7,
        memory_slices=slices,
        memory_bytes=int(measured * GIB if measured else bound) // MIB * MIB,
        compute_share=parts.get((compute, memory), compute) / processors,
        source="nvidia-smi mig -lgip" if measured else f"{memory}/{slices} of the GPU's memory, less 9 %",
    )


MIG: Mapping[str, Mapping[str, MigProfile]] = {
    gpu: {name: _profile(gpu, name, int(most)) for name, _, most in (word.partition(":") for word in text.split())}
    for gpu, text in _SLICES.items()
}


def mig_profile(gpu: str, name: str) -> MigProfile:
    """Return a GPU's slice of a name; the GPU is spelled freely.

    Raises: UsageError where the GPU is not known, cannot be cut, or not into such slices.
    """
    known = gpu_named(gpu).name
    profiles = MIG.get(known, {})
    if not profiles:
        cut = ", ".join(MIG)
        raise UsageError(f"{known} GPUs cannot be cut into MIG slices", hint=f"sharing: mps; those that can: {cut}")
    if name not in profiles:
        hint = f"they can be cut into {', '.join(profiles)}"
        raise UsageError(f"{known} GPUs have no slice {name}.{did_you_mean(name, profiles)}", hint=hint)
    return profiles[name]


def cut_problem(gpu: str, name: str, products: Iterable[str]) -> str:
    """Return why GPUs with these labels are not cut as a GPU is into its slices of a name; empty where they are.

    The same name may be another number, and another part, on another GPU. Labels that no known GPU has are passed over.

    Raises: UsageError as `mig_profile` does, of the GPU itself.
    """
    wanted = mig_profile(gpu, name)
    for product in products:
        try:
            other = gpu_named(product).name
        except UsageError:
            continue
        found = MIG.get(other, {}).get(name)
        if found is None:
            return f"{product}, which cannot be cut into {name}"
        if (found.most, found.memory) != (wanted.most, wanted.memory):
            return f"{product}, which has {found.most} slices {name}, and a {gpu_named(gpu).name} {wanted.most}"
    return ""


def layout_problem(gpu: str, layout: Mapping[str, int]) -> str:
    """Return why one GPU cannot be cut into so many slices of each name; empty where it can.

    Slices have fixed places (a 3g at either half, a 2g at every second place); where the sums fit, so do the places.
    """
    profiles = MIG[gpu]
    for name, count in layout.items():
        if name not in profiles:
            return f"it has no slice {name}"
        if count > profiles[name].most:
            return f"it has {profiles[name].most} slices {name} at most, not {count}"
    used = [(profiles[name], count) for name, count in layout.items()]
    for word in ("compute", "memory"):
        total = sum(getattr(profile, word) * count for profile, count in used)
        have = getattr(used[0][0], f"{word}_slices") if used else 0
        if total > have:
            return f"they take {total} of its {have} {word} slices"
    extended = sum(count for profile, count in used if re.search(r"\+me", profile.name))
    return f"only one of its slices has the media engines, not {extended}" if extended > 1 else ""
