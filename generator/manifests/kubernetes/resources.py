"""What a pod asks for: processors, memory, disk, GPUs."""

from __future__ import annotations

import math

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.sharing import is_claimed
from tritonsmith.generator.manifests.memory import cpus, memory_mib
from tritonsmith.generator.manifests.sharing.claims import REQUEST
from tritonsmith.generator.manifests.workload import MIB, Workload

SPARE_DISK_MIB = 1024


def resources(workload: Workload) -> Manifest:
    """Return the container's requests and limits; no limit on processors, which would only slow bursts down."""
    memory = {"memory": f"{memory_mib(workload)}Mi"}
    claims = {"claims": [{"name": REQUEST}]} if is_claimed(workload) else {}
    gpus = {workload.gpu_resource: str(workload.needs.gpus)} if workload.needs.gpus and not claims else {}
    requests = {"cpu": _quantity(cpus(workload)), **memory, **gpus}
    if workload.deploy.repository.store is not None:  # of which the pod keeps a copy on its disk
        copy = math.ceil(workload.needs.repository_bytes * 1.1 / MIB)
        requests["ephemeral-storage"] = f"{copy + SPARE_DISK_MIB}Mi"
    return {"requests": requests, "limits": {**memory, **gpus}, **claims}


def _quantity(count: float) -> str:
    return str(int(count)) if count == int(count) else f"{math.ceil(count * 1000)}m"
