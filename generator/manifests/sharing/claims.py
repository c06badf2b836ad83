"""Claims (dynamic resource allocation): a pod asks for devices by what they are, from Kubernetes 1.34 on.

A template makes a claim for each pod, so that pods do not share what a claim is given: whole GPUs and MIG slices.
Source: kubernetes-sigs/dra-driver-nvidia-gpu 9593204: demo/specs/quickstart/v1,
site/content/docs/reference/resourceslice-attributes.md, deployments/helm (device classes).
"""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.spec.sharing import Sharing

CLAIMS_SINCE = (1, 34)  # resource.k8s.io/v1
REQUEST = "gpu"  # the claim's name within a pod, and its one request
_DRIVER = "gpu.nvidia.com"


def device_request(sharing: Sharing, gpus: int, products: tuple[str, ...]) -> dict[str, Any]:
    """Return the one request of a pod's claim: so many GPUs, or slices, of the products that nodes are labelled with.

    The driver knows a product by the driver's own name, which has blanks where the label has hyphens.
    """
    exactly: dict[str, Any] = {"deviceClassName": f"mig.{_DRIVER.partition('.')[2]}" if _is_mig(sharing) else _DRIVER}
    wanted = [_equals("profile", sharing.profile)] if _is_mig(sharing) else []
    if products:
        wanted.append(" || ".join(_equals_label(product) for product in products))
    if wanted:
        exactly["selectors"] = [{"cel": {"expression": text}} for text in wanted]
    if gpus > 1:
        exactly["count"] = gpus
    return {"name": REQUEST, "exactly": exactly}


def _is_mig(sharing: Sharing) -> bool:
    return sharing.mode == "mig"


def _equals(attribute: str, value: str) -> str:
    return f"device.attributes['{_DRIVER}'].{attribute} == '{value}'"


def _equals_label(product: str) -> str:
    """Return the test of a product by the value of its label, which is the name with hyphens for blanks."""
    return f"device.attributes['{_DRIVER}'].productName.replace(' ', '-') == '{product}'"
