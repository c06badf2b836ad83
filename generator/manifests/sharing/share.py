"""What a server has of a GPU that it shares: memory, processors, what it sees, and what keeps others out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.catalog.mig import MIB, mig_profile, slice_resource
from tritonsmith.generator.spec.sharing import Sharing

WHOLE, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"
# TensorRT-LLM's own. Source: TensorRT-LLM: docs of memory usage; llmapi/llm_args.py (KvCacheConfig).
KV_FRACTION = 0.9


@dataclass(frozen=True)
class Share:
    """One server's part of a GPU.

    `memory_bytes` is what it may use, `visible_bytes` what CUDA shows it to be there: more where nothing is parted.
    `compute` is its part of the processors when all others are busy.
    """

    resource: str  # by which a pod asks the device plugin for it
    per_gpu: int
    memory_bytes: int
    visible_bytes: int
    compute: float
    bandwidth: float
    is_enforced: bool  # whether more memory than that is refused
    arithmetic: str


def share_of(sharing: Sharing, gpu: Gpu) -> Share:
    """Return what a server has of a GPU.

    Under MPS CUDA shows a client its limit (tried by others on a whole A100), and a client is a process: a server with
    several that use the GPU has the limit several times.
    Source: k8s-device-plugin: cmd/mps-control-daemon/mps/daemon.go (whole MiB, whole percents); its issue 720.

    Raises: UsageError where the GPU has no such MIG slice.
    """
    whole = gpu.memory_bytes
    if sharing.mode == "mig":
        profile = mig_profile(gpu.name, sharing.profile)
        own = profile.memory_bytes
        words = f"{own // MIB} MiB: {profile.source}"
        return Share(profile.resource, profile.most, own, own, profile.compute_share, profile.memory_share, True, words)
    if sharing.mode not in ("mps", "time-slicing"):
        return Share(WHOLE, 1, whole, whole, 1.0, 1.0, True, f"{whole // MIB} MiB: a whole {gpu.name}")
    count, is_mps = sharing.shares, sharing.mode == "mps"
    own = whole // count // MIB * MIB
    words = f"{whole // MIB} MiB / {count} = {own // MIB} MiB"
    compute = 100 // count / 100 if is_mps else 1 / count
    return Share(SHARED, count, own, own if is_mps else whole, compute, 1 / count, is_mps, words)


def resource_of(sharing: Sharing) -> str:
    """Return the name by which a pod asks for its part, whatever the GPU.

    Shares are renamed (renameByDefault), so that no pod that means a whole GPU gets one; slices have names of their own
    under the strategy `mixed`.
    """
    if sharing.mode == "mig":
        return slice_resource(sharing.profile)
    return SHARED if sharing.is_shared else WHOLE


def resource_problem(sharing: Sharing, said: str) -> str:
    """Return why pods cannot ask for the resource that `deploy.gpus` says; empty where they can, or share nothing."""
    handed_out = resource_of(sharing)
    if not sharing.is_shared or said in (WHOLE, handed_out):
        return ""
    return f"deploy.gpus.resource is {said}, and sharing: {sharing} is handed out as {handed_out}"


def kv_fraction(share: Share, resident_bytes: float, fraction: float = KV_FRACTION) -> float:
    """Return the kv_cache_free_gpu_mem_fraction that keeps a server within its share; 0 where nothing is left.

    The engine takes a fraction of the memory that CUDA shows to be free once `resident_bytes` (weights, activations,
    contexts) are there. Where it shows more than the share it must take less of it:
    fraction x (share - resident) / (visible - resident), rounded down to hundredths.
    """
    left = share.memory_bytes - resident_bytes
    if left <= 0:
        return 0.0
    wanted = fraction * left / (share.visible_bytes - resident_bytes)
    return math.floor(wanted * 100 + 1e-9) / 100
