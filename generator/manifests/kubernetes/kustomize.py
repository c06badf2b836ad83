"""Kustomizations: what a folder holds, and the overlays that say what one place changes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tritonsmith.generator.manifests.kubernetes.core import Manifest, scale_target
from tritonsmith.generator.manifests.workload import Workload


def kustomization(resources: Sequence[str], patches: Sequence[Mapping[str, Any]] = ()) -> Manifest:
    """Return a folder's kustomization; `patches` are kustomize's own: {"target": ..., "patch": ...}."""
    document: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    document["resources"] = list(resources)
    return document | ({"patches": [dict(patch) for patch in patches]} if patches else {})


def places(workload: Workload, folders: tuple[str, ...]) -> dict[str, list[Manifest]]:
    """Return the overlays that everybody has: production takes all; staging one replica, in a namespace of its own."""
    staging = kustomization(["../../base"], [one_replica(workload)])
    staging["namespace"] = f"{workload.deploy.namespace}-staging"
    return {
        "overlays/production/kustomization.yaml": [kustomization([f"../../{folder}" for folder in folders])],
        "overlays/staging/kustomization.yaml": [staging],
    }


def one_replica(workload: Workload) -> Manifest:
    """Return the patch to a single replica, whatever the base says of their number."""
    target = scale_target(workload)
    change = [{"op": "add", "path": "/spec/replicas", "value": 1}]  # add replaces, too
    return {"target": {"kind": target["kind"], "name": target["name"]}, "patch": json.dumps(change)}
