"""Regions: a cluster each, with the same objects, and an overlay for what differs in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.changes import changes
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.kustomize import kustomization
from tritonsmith.generator.manifests.kubernetes.refusals import require_possible
from tritonsmith.generator.manifests.kubernetes.spill import spill_rules
from tritonsmith.generator.manifests.workload import Workload

Folders = Mapping[str, list[Manifest]]  # a folder's objects


def regional(workload: Workload, region: str) -> Workload:
    """Return the workload as it is in one region.

    Raises: RepositoryError where the region's GPUs are others and its engines are not.
    """
    settings = workload.deploy.regions[region]
    is_other = bool(settings.products) and settings.products != workload.deploy.gpus.products
    if is_other and not settings.store and workload.needs.has_engine:
        raise RepositoryError(
            f"region {region} has {', '.join(settings.products)}: engines run on the GPU that they were built on",
            where=f"deploy.regions.{region}.products",
            hint="build the engines there, push their repository, and name its URL as the region's store",
        )
    changed: dict[str, Any] = {}
    if settings.store:
        only = {"store": settings.store, "claim": None, "volume": None}
        changed["repository"] = workload.deploy.repository.model_copy(update=only)
    if settings.products:
        changed["gpus"] = workload.deploy.gpus.model_copy(update={"products": settings.products})
    if settings.replicas is not None:
        changed |= {"replicas": settings.replicas, "autoscale": None}
    if settings.autoscale is not None:
        changed["autoscale"] = settings.autoscale
    return replace(workload, deploy=workload.deploy.model_copy(update=changed))


def regions(workload: Workload, objects_of: Callable[[Workload], Folders]) -> dict[str, list[Manifest]]:
    """Return the overlays, a folder for each region: what kustomize changes of everywhere's, and what it adds.

    `objects_of` returns a workload's objects by folder.
    """
    if not workload.deploy.regions:
        return {}
    everywhere = objects_of(workload)
    found: dict[str, list[Manifest]] = {}
    for region in workload.deploy.regions:
        here = regional(workload, region)
        require_possible(here)
        differing = changes(
            list(chain.from_iterable(everywhere.values())), list(chain.from_iterable(objects_of(here).values()))
        )
        files = {"added.yaml": list(differing.additions), "spill_over.yaml": spill_rules(here, region)}
        written = {file: objects for file, objects in files.items() if objects}
        folder = f"regions/{region}"
        resources = [*(f"../../{taken}" for taken in everywhere), *written]
        found[f"{folder}/kustomization.yaml"] = [kustomization(resources, differing.patches)]
        found |= {f"{folder}/{file}": objects for file, objects in written.items()}
    return found
