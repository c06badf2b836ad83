"""Kustomizations: what a folder holds, and the overlays that say what one place changes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonsmith.generator.manifests.kubernetes.core import Manifest, Workload


def kustomization(resources: Sequence[str], patches: Sequence[Mapping[str, Any]] = ()) -> Manifest:
    """Return a folder's kustomization; `patches` are kustomize's own: {"target": ..., "patch": ...}."""
    document: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    document["resources"] = list(resources)
    return document | ({"patches": [dict(patch) for patch in patches]} if patches else {})


def places(workload: Workload, folders: tuple[str, ...]) -> dict[str, list[Manifest]]:
    """Return the overlays that everybody has: production takes all, staging is the base with one replica."""
    return {"overlays/production/kustomization.yaml": [kustomization([f"../../{folder}" for folder in folders])]}
