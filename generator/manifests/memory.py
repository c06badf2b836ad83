"""How much memory and how many processors a server takes, and what of it is shared.

The defaults are estimates from the files and the instances, generous rather than exact: a server beyond its memory is
killed. `deploy: {cpus: ..., memory_mib: ...}` replaces them by what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tritonsmith.generator.manifests.workload import MIB, Workload

SERVER_MIB = 1024  # tritonserver itself, its pinned pool of 256 MiB included
PYTHON_MIB = 300  # an interpreter with its imports
GPU_MIB = 2048  # on the host, for a CUDA context and its libraries
STEP_MIB = 256
SHM_MIB = 64  # what every pod has
SHM_PER_PYTHON_MIB = 64  # an instance's two regions, which begin with 1 MiB and grow with its tensors
SHM_PER_RANK_MIB = 1024  # NCCL's and the ranks' own
Part = tuple[str, float]  # of an amount: what it is, in words, and how much


def shm_mib(workload: Workload) -> int:
    """Return the size of /dev/shm."""
    return round(_sum(shm_parts(workload)))


def shm_parts(workload: Workload) -> list[Part]:
    """Return what /dev/shm holds, in MiB: each Python-based instance has regions there, so have an engine's ranks."""
    settings = workload.server.backend_config.get("python", {})
    said = settings.get("shm-default-byte-size", "")
    own = math.ceil(2 * int(said) / MIB) if said.isdecimal() else 0
    ranks = workload.needs.gpus if workload.launch and workload.needs.gpus > 1 else 0
    parts = [
        _times(workload.needs.python_instances, "Python instances", max(SHM_PER_PYTHON_MIB, own)),
        _times(ranks, "ranks", SHM_PER_RANK_MIB),
    ]
    return [(f"{SHM_MIB} MiB", SHM_MIB), *_without_zeros(parts)]


def least_mib(workload: Workload) -> int:
    """Return the memory without which a pod would not even start: the server, its interpreters, what is shared."""
    return SERVER_MIB // 2 + workload.needs.python_instances * PYTHON_MIB // 4 + shm_mib(workload)


def memory_mib(workload: Workload) -> int:
    """Return a pod's memory, shared memory included, since Kubernetes counts it as the pod's own."""
    if workload.deploy.memory_mib is not None:
        return workload.deploy.memory_mib
    return math.ceil(_sum(memory_parts(workload)) / STEP_MIB) * STEP_MIB


def memory_parts(workload: Workload) -> list[Part]:
    """Return what a pod's memory is estimated from, in MiB, where the spec does not say it."""
    needs, cache = workload.needs, workload.server.response_cache
    copies = 1 if needs.gpus else 2  # on the CPU a model is its file and what is made of it
    files, cached = needs.repository_bytes / MIB / needs.nodes, cache.size_bytes / MIB if cache else 0.0
    parts = [
        (f"{copies} x {files:.0f} MiB of files", copies * files),
        _times(needs.python_instances, "Python instances", PYTHON_MIB),
        _times(needs.gpus, "GPUs", GPU_MIB),
        (f"{cached:.0f} MiB of response cache", cached),
    ]
    shared = shm_mib(workload)
    return [(f"{SERVER_MIB} MiB", SERVER_MIB), *_without_zeros(parts), (f"{shared} MiB of /dev/shm", shared)]


def cpus(workload: Workload) -> float:
    """Return a pod's processors."""
    return workload.deploy.cpus or float(_sum(cpu_parts(workload)))


def cpu_parts(workload: Workload) -> list[Part]:
    """Return what a pod's processors are for, where the spec does not say how many."""
    needs = workload.needs
    instances = needs.cpu_instances + needs.python_instances
    gpus = (f"{needs.gpus} GPUs x 2", needs.gpus * 2)
    return [
        ("1 for the server", 1),
        *_without_zeros([(f"{instances} instances on the CPU or in Python", instances), gpus]),
    ]


def _times(count: int, what: str, mib: int) -> Part:
    return f"{count} {what} x {mib} MiB", count * mib


def _without_zeros(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part[1]]


def _sum(parts: Sequence[Part]) -> float:
    return sum(amount for _, amount in parts)
