"""Whole GPUs and parts of them as a plan names them: `H100-SXM-80GB`, `H100-SXM-80GB/mig:3g.40gb`, `L40S/mps:4`."""

from __future__ import annotations

from dataclasses import replace

from tritonsmith.generator.catalog.gpus import GPUS, Gpu, gpu_named
from tritonsmith.generator.catalog.mig import MIG, mig_profile
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.sharing.share import share_of
from tritonsmith.generator.spec.sharing import LEAST_SHARES, MOST_MPS_SHARES, Sharing

MARK = "/mig:"
MPS_MARK = "/mps:"


def named(text: str) -> str:
    """Return the name of a GPU that a person calls so, or of a part of it, as this module writes it.

    Raises: UsageError where there is none.
    """
    gpu, slash, part = text.partition("/")
    mode, _, value = part.partition(":")
    name = gpu_named(gpu).name
    if slash and (mode not in ("mig", "mps") or not value):
        why = ": who takes turns is promised nothing" if mode == "time-slicing" else ""
        raise UsageError(f"'{text}' is no GPU that a plan is made for{why}", hint=_parts_of(name))
    if not slash:
        return name
    if mode == "mig":
        return f"{name}{MARK}{mig_profile(name, value).name}"
    if not value.isdecimal() or not LEAST_SHARES <= int(value) <= MOST_MPS_SHARES:
        hint = f"{LEAST_SHARES} to {MOST_MPS_SHARES}, e.g. {name}{MPS_MARK}4"
        raise UsageError(f"'{text}': a GPU has no {value} shares by MPS", hint=hint)
    return f"{name}{MPS_MARK}{int(value)}"


def _parts_of(gpu: str) -> str:
    """Return what a plan can be made for of a GPU, with an example each."""
    smallest = next(iter(MIG.get(gpu, {})), "")
    slices = [f"{gpu}{MARK}{smallest}, a slice"] if smallest else []
    return "; ".join(["a whole GPU", *slices, f"{gpu}{MPS_MARK}4, one of four equal shares"])


def gpu_of(name: str) -> Gpu:
    """Return the GPU of a name; of a part what it has of memory, bandwidth, arithmetic and power while all are busy.

    No part reaches another: it is its own domain, and no engine is spread over two. A whole GPU's name stays its own.
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
    mode, _, value = name.partition("/")[2].partition(":")
    if mode == "mps":
        return Sharing(mode="mps", replicas=int(value))
    return Sharing(mode="mig", profile=value) if mode else Sharing()


def setting_of(name: str) -> str | dict[str, str | int]:
    """Return the same as a spec has it."""
    sharing = sharing_of(name)
    return {"mode": "mps", "replicas": sharing.shares} if sharing.mode == "mps" else str(sharing)


def whole_of(name: str) -> str:
    """Return the name of the GPU that a part is of."""
    return name.partition("/")[0]


def is_slice(name: str) -> bool:
    """Whether a name is of a part: a slice, or a share."""
    return "/" in name


def per_gpu(name: str) -> int:
    """Return how many of it a GPU has: 1, or as many parts."""
    return share_of(sharing_of(name), GPUS[whole_of(name)]).per_gpu
