"""The table of what is written: which function makes which file, in which folder.

`base` needs nothing but Kubernetes; each further folder needs what its name says to be installed (an operator, a
gateway), and an overlay puts together what one place takes. A row that makes no object writes no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tritonsmith.generator.manifests.kubernetes.adapter import adapter_values
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.dashboard import dashboards
from tritonsmith.generator.manifests.kubernetes.deployment import deployments
from tritonsmith.generator.manifests.kubernetes.disruption import disruption_budgets
from tritonsmith.generator.manifests.kubernetes.explained import explained
from tritonsmith.generator.manifests.kubernetes.kserve import inference_services, serving_runtimes, supports
from tritonsmith.generator.manifests.kubernetes.kustomize import kustomization, places
from tritonsmith.generator.manifests.kubernetes.leader_worker_set import leader_worker_sets
from tritonsmith.generator.manifests.kubernetes.monitoring import pod_monitors, prometheus_rules
from tritonsmith.generator.manifests.kubernetes.network import network_policies
from tritonsmith.generator.manifests.kubernetes.picker import pickers
from tritonsmith.generator.manifests.kubernetes.ranks import rank_scripts
from tritonsmith.generator.manifests.kubernetes.refusals import require_possible
from tritonsmith.generator.manifests.kubernetes.regions import regions
from tritonsmith.generator.manifests.kubernetes.routing import inference_pools, routes
from tritonsmith.generator.manifests.kubernetes.scaling import horizontal_pod_autoscalers, scaled_objects
from tritonsmith.generator.manifests.kubernetes.security import service_accounts
from tritonsmith.generator.manifests.kubernetes.services import services
from tritonsmith.generator.manifests.kubernetes.sharing import claim_templates, sharing_maps, sharing_texts
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.manifests.yaml_text import to_yaml

Make = Callable[[Workload], list[Manifest]]


@dataclass(frozen=True)
class Row:
    """A file of the output and the function that makes its objects."""

    folder: str
    file: str
    make: Make


ROWS: tuple[Row, ...] = (
    Row("base", "service_account.yaml", service_accounts),
    Row("base", "ranks.yaml", rank_scripts),
    Row("base", "resource_claim_template.yaml", claim_templates),
    Row("base", "deployment.yaml", deployments),
    Row("base", "leader_worker_set.yaml", leader_worker_sets),
    Row("base", "service.yaml", services),
    Row("base", "disruption_budget.yaml", disruption_budgets),
    Row("base", "network_policy.yaml", network_policies),
    Row("monitoring", "pod_monitor.yaml", pod_monitors),
    Row("monitoring", "rules.yaml", prometheus_rules),
    Row("monitoring", "dashboard.yaml", dashboards),
    Row("scaling", "hpa.yaml", horizontal_pod_autoscalers),
    Row("scaling", "scaled_object.yaml", scaled_objects),
    Row("gateway", "route.yaml", routes),
    Row("gateway", "inference_pool.yaml", inference_pools),
    Row("gateway", "picker.yaml", pickers),
    Row("sharing", "config_map.yaml", sharing_maps),
    Row("kserve", "supports.yaml", supports),
    Row("kserve", "serving_runtime.yaml", serving_runtimes),
    Row("kserve", "inference_service.yaml", inference_services),
)
# Folders that no overlay takes: what stands in the place of `base`, and what the cluster's GPU operator is told.
ALTERNATIVES = frozenset({"kserve", "sharing"})
# (workload, folders that an overlay takes) -> documents by path below the output, each with its kustomization.yaml.
OVERLAYS: tuple[Callable[[Workload, tuple[str, ...]], Mapping[str, list[Manifest]]], ...] = (places,)
# What is no Kubernetes object: configurations of an adapter, a device plugin, mig-parted.
TEXTS: tuple[Callable[[Workload], Mapping[str, bytes]], ...] = (adapter_values, sharing_texts)


def objects_of(workload: Workload) -> dict[str, list[Manifest]]:
    """Return the objects of the folders that an overlay takes, by folder."""
    found: dict[str, list[Manifest]] = {}
    for row in ROWS:
        if row.folder not in ALTERNATIVES and (objects := row.make(workload)):
            found.setdefault(row.folder, []).extend(objects)
    return found


def render(workload: Workload) -> dict[str, bytes]:
    """Return every file of a workload's deployment, by path relative to the output's folder.

    Raises: RepositoryError where its pods could not run.
    """
    require_possible(workload)
    made = {(row.folder, row.file): objects for row in ROWS if (objects := row.make(workload))}
    folders = tuple(dict.fromkeys(folder for folder, _ in made))
    documents = {f"{folder}/{file}": objects for (folder, file), objects in made.items()}
    for folder in folders:
        names = [file for parent, file in made if parent == folder]
        documents[f"{folder}/kustomization.yaml"] = [kustomization(names)]
    taken = tuple(folder for folder in folders if folder not in ALTERNATIVES)
    for overlay in OVERLAYS:
        documents |= overlay(workload, taken)
    documents |= regions(workload, objects_of)
    files = {path: to_yaml(objects).encode() for path, objects in documents.items()}
    for text in TEXTS:
        files |= text(workload)
    return files | explained(workload, files)
