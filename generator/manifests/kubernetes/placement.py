"""Where pods may run: on nodes with the engine's GPU, spread over nodes and zones."""

from __future__ import annotations

from tritonsmith.generator.catalog.gpus import products_of
from tritonsmith.generator.catalog.labels import GPU_PRODUCT, SHARING_REPLICAS, SHARING_STRATEGY
from tritonsmith.generator.manifests.kubernetes.core import Manifest, serving_labels
from tritonsmith.generator.manifests.workload import Workload


def products(workload: Workload) -> tuple[str, ...]:
    """Return the GPUs on which pods may run, as nodes are labelled; none where neither `deploy` nor `hardware` says."""
    if not workload.needs.gpus:
        return ()
    return workload.deploy.gpus.products or products_of(workload.hardware.gpu)


def placement(workload: Workload) -> Manifest:
    """Return a pod's affinity, tolerations and spread."""
    placed: Manifest = {}
    if found := [*_product(workload), *_shared_nodes(workload)]:
        wanted = {"matchExpressions": found}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [wanted]}}
        placed["affinity"] = {"nodeAffinity": required}
    if workload.needs.gpus:
        placed["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return placed


def _product(workload: Workload) -> list[Manifest]:
    found = products(workload) if workload.deploy.gpus.by == "device-plugin" else ()  # a claim says it itself
    return [{"key": GPU_PRODUCT, "operator": "In", "values": list(found)}] if found else []


def _shared_nodes(workload: Workload) -> list[Manifest]:
    """Return what the labels of nodes must say of shares: MPS and time-slicing hand them out under the same name."""
    sharing = workload.sharing
    if sharing.shares == 1 or not workload.needs.gpus:
        return []
    wanted = {SHARING_STRATEGY: sharing.mode, SHARING_REPLICAS: str(sharing.shares)}
    return [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()]


def spread(workload: Workload) -> Manifest:
    """Return how pods that answer are spread: over nodes and zones, as far as there is room."""
    selector = {"matchLabels": serving_labels(workload)}
    keys = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    rule = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
    return {"topologySpreadConstraints": [{"topologyKey": key, **rule} for key in keys]}
