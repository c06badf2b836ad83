"""What was written for Kubernetes, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith.backends.deploy.kubernetes.write import Manifests
from tritonsmith.generator.manifests.memory import cpus, memory_mib, shm_mib
from tritonsmith.generator.manifests.workload import Workload


def as_text(made: Manifests) -> str:
    """Return what was written, or would be, what one replica is, and the next steps."""
    return "\n".join([str(made.written), summary(made.workload), *_next_steps(made)])


def as_json(made: Manifests) -> dict[str, Any]:
    """Return the same as data; sizes in MiB, times in seconds."""
    workload = made.workload
    return {
        **made.written.as_json(),
        "image": workload.image,
        "pod": {
            "nodes": workload.needs.nodes,
            "gpus": workload.needs.gpus,
            "cpus": cpus(workload),
            "memory_mib": memory_mib(workload),
            "shm_mib": shm_mib(workload),
            "startup_s": workload.startup_s,
            "grace_s": workload.grace_s,
        },
        "notices": list(made.notices),
    }


def summary(workload: Workload) -> str:
    """Return what one replica is, in a line."""
    needs = workload.needs
    pods = f"{needs.nodes} pods, each" if needs.nodes > 1 else "a pod"
    gpus = f"{needs.gpus} {workload.gpu_resource}, " if needs.gpus else ""
    asks = f"{gpus}{cpus(workload):g} CPUs, {memory_mib(workload)} MiB ({shm_mib(workload)} of them shared)"
    return f"a replica is {pods} with {asks}; it has {workload.startup_s} s to start and {workload.grace_s} s to end"


def _next_steps(made: Manifests) -> Iterator[str]:
    overlays = {path.split("/")[1] for path in made.written.files if path.startswith("overlays/")}
    for name in sorted(overlays - {"staging"}):
        yield f"apply it: kubectl apply -k {made.written.folder / 'overlays' / name}"
