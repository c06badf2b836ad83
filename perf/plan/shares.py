"""Whole GPUs and MIG slices of them as a plan names them: `H100-SXM-80GB`, `H100-SXM-80GB/mig:3g.40gb`."""

from __future__ import annotations

from dataclasses import replace

from tritonsmith.generator.catalog.gpus import GPUS, Gpu, gpu_named
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.sharing.share import share_of
from tritonsmith.generator.spec.sharing import Sharing

MARK = "/mig:"


def named(text: str) -> str:
    """Return the name of a GPU that a person calls so, or of a slice of it, as this module writes it.

    Raises: UsageError where there is none.
    """
    gpu, mark, profile = text.partition(MARK)
    if not mark and "/" in text:
        hint = f"a whole GPU, or {gpu.partition('/')[0]}/mig:1g.10gb, a slice"
        raise UsageError(f"'{text}' is no GPU that a plan is made for", hint=hint)
    name = gpu_named(gpu).name
    if not mark:
        return name
    share_of(Sharing(mode="mig", profile=_required(profile, text)), GPUS[name])
    return f"{name}{MARK}{profile}"


def gpu_of(name: str) -> Gpu:
    """Return the GPU of a name; of a slice its part of the memory, the bandwidth, the arithmetic and the power.

    No slice reaches another: it is its own domain, and no engine is spread over two. A whole GPU's name stays its own.
    """
    whole = GPUS[whole_of(name)]
    sharing = sharing_of(name)
    if sharing.mode == "none":
        return whole
    share = share_of(sharing, whole)
    return replace(
        whole,
        name=name,
        memory_bytes=share.memory_bytes,
        bytes_per_s=whole.bytes_per_s * share.bandwidth,
        flops={precision: value * share.compute for precision, value in whole.flops.items()},
        domain=1,
        power_w=whole.power_w / share.per_gpu,
        source=f"{whole.source}; {share.arithmetic}",
    )


def sharing_of(name: str) -> Sharing:
    """Return the spec's `sharing:` for a name."""
    profile = name.partition(MARK)[2]
    return Sharing(mode="mig", profile=profile) if profile else Sharing()


def whole_of(name: str) -> str:
    """Return the name of the GPU that a slice is of."""
    return name.partition(MARK)[0]


def is_slice(name: str) -> bool:
    """Whether a name is of a slice."""
    return MARK in name


def per_gpu(name: str) -> int:
    """Return how many of it a GPU has: 1, or as many slices."""
    return share_of(sharing_of(name), GPUS[whole_of(name)]).per_gpu


def _required(profile: str, text: str) -> str:
    if not profile:
        raise UsageError(f"'{text}' names no slice", hint="e.g. H100-SXM-80GB/mig:1g.10gb")
    return profile
