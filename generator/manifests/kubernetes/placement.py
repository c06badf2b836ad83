"""Where pods may run: on nodes with the engine's GPU, spread over nodes and zones."""

from __future__ import annotations

import re

from tritonsmith.generator.catalog.labels import GPU_PRODUCT
from tritonsmith.generator.manifests.kubernetes.core import Manifest, serving_labels
from tritonsmith.generator.manifests.workload import Workload

# The label's values by the names that people write in `hardware: {gpu: ...}`, without what stands between the words.
# Source: NVIDIA/k8s-device-plugin: docs/gpu-feature-discovery (the driver's name, with hyphens for spaces).
_PRODUCTS = {
    "t4": ("Tesla-T4",),
    "a10": ("NVIDIA-A10",),
    "a30": ("NVIDIA-A30",),
    "l4": ("NVIDIA-L4",),
    "l40s": ("NVIDIA-L40S",),
    "a100sxm40gb": ("NVIDIA-A100-SXM4-40GB",),
    "a100sxm80gb": ("NVIDIA-A100-SXM4-80GB",),
    "a100pcie40gb": ("NVIDIA-A100-PCIE-40GB",),
    "a100pcie80gb": ("NVIDIA-A100-80GB-PCIe",),
    "h100sxm": ("NVIDIA-H100-80GB-HBM3",),
    "h100sxm80gb": ("NVIDIA-H100-80GB-HBM3",),
    "h100pcie80gb": ("NVIDIA-H100-PCIe",),
    "h200sxm141gb": ("NVIDIA-H200",),
    "h200sxm": ("NVIDIA-H200",),
    "h200": ("NVIDIA-H200",),
    "b200": ("NVIDIA-B200",),
    "b200sxm": ("NVIDIA-B200",),
}


def products(workload: Workload) -> tuple[str, ...]:
    """Return the GPUs on which pods may run, as nodes are labelled; none where neither `deploy` nor `hardware` says."""
    if not workload.needs.gpus:
        return ()
    word = re.sub(r"[^a-z0-9]|nvidia", "", workload.hardware.gpu.lower())
    return workload.deploy.gpus.products or _PRODUCTS.get(word, ())


def placement(workload: Workload) -> Manifest:
    """Return a pod's affinity, tolerations and spread."""
    placed: Manifest = {}
    if found := products(workload):
        wanted = {"matchExpressions": [{"key": GPU_PRODUCT, "operator": "In", "values": list(found)}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [wanted]}}
        placed["affinity"] = {"nodeAffinity": required}
    if workload.needs.gpus:
        placed["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return placed


def spread(workload: Workload) -> Manifest:
    """Return how pods that answer are spread: over nodes and zones, as far as there is room."""
    selector = {"matchLabels": serving_labels(workload)}
    keys = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    rule = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
    return {"topologySpreadConstraints": [{"topologyKey": key, **rule} for key in keys]}
