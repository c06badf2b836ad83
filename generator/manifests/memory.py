"""How much memory and how many processors a server takes, and what of it is shared.

The defaults are estimates from the files and the instances, generous rather than exact: a server beyond its memory is
killed. `deploy: {cpus: ..., memory_mib: ...}` replaces them by what was measured.
"""

from __future__ import annotations

import math

from tritonsmith.generator.manifests.workload import MIB, Workload

SERVER_MIB = 1024  # tritonserver itself, its pinned pool of 256 MiB included
PYTHON_MIB = 300  # an interpreter with its imports
GPU_MIB = 2048  # on the host, for a CUDA context and its libraries
STEP_MIB = 256
SHM_MIB = 64  # what every pod has
SHM_PER_PYTHON_MIB = 64  # an instance's two regions, which begin with 1 MiB and grow with its tensors
SHM_PER_RANK_MIB = 1024  # NCCL's and the ranks' own


def shm_mib(workload: Workload) -> int:
    """Return the size of /dev/shm: each Python-based instance has regions there, and so have an engine's ranks."""
    settings = workload.server.backend_config.get("python", {})
    said = settings.get("shm-default-byte-size", "")
    own = math.ceil(2 * int(said) / MIB) if said.isdecimal() else 0
    ranks = workload.needs.gpus if workload.launch and workload.needs.gpus > 1 else 0
    instances = workload.needs.python_instances * max(SHM_PER_PYTHON_MIB, own)
    return SHM_MIB + instances + ranks * SHM_PER_RANK_MIB


def least_mib(workload: Workload) -> int:
    """Return the memory without which a pod would not even start: the server, its interpreters, what is shared."""
    return SERVER_MIB // 2 + workload.needs.python_instances * PYTHON_MIB // 4 + shm_mib(workload)


def memory_mib(workload: Workload) -> int:
    """Return a pod's memory, shared memory included, since Kubernetes counts it as the pod's own."""
    if workload.deploy.memory_mib is not None:
        return workload.deploy.memory_mib
    needs, cache = workload.needs, workload.server.response_cache
    files = needs.repository_bytes / MIB / needs.nodes
    total = SERVER_MIB + files * (1 if needs.gpus else 2)  # on the CPU a model is its file and what is made of it
    total += needs.python_instances * PYTHON_MIB + needs.gpus * GPU_MIB
    total += cache.size_bytes / MIB if cache else 0
    return math.ceil((total + shm_mib(workload)) / STEP_MIB) * STEP_MIB


def cpus(workload: Workload) -> float:
    """Return a pod's processors: one for the server, one for each instance on the CPU or in Python, two a GPU."""
    needs = workload.needs
    return workload.deploy.cpus or float(1 + needs.cpu_instances + needs.python_instances + 2 * needs.gpus)
