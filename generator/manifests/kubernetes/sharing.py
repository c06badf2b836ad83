"""Shared GPUs: what the cluster is told beside the pods, and the claims by which pods ask from Kubernetes 1.34 on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonsmith.generator.catalog.gpus import gpu_named
from tritonsmith.generator.catalog.mig import MigProfile, cut_problem, mig_profile
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata
from tritonsmith.generator.manifests.kubernetes.placement import products
from tritonsmith.generator.manifests.sharing import operator
from tritonsmith.generator.manifests.sharing.claims import CLAIMS_SINCE, REQUEST, device_request
from tritonsmith.generator.manifests.sharing.device_plugin import plugin_config
from tritonsmith.generator.manifests.sharing.mig_parted import mig_config
from tritonsmith.generator.manifests.sharing.share import WHOLE, Share, resource_of, resource_problem, share_of
from tritonsmith.generator.manifests.workload import Workload

FOLDER = "sharing"
Refusal = tuple[str, str]  # what cannot be, and what to do


def is_claimed(workload: Workload) -> bool:
    """Whether pods ask for their GPUs by claims."""
    return workload.deploy.gpus.by == "dra" and workload.needs.gpus > 0


def cut_into(workload: Workload) -> MigProfile | None:
    """Return the slices that the GPUs are cut into, None where they are not, or the GPU is not known."""
    if workload.sharing.mode != "mig" or not workload.needs.gpus:
        return None
    try:
        return mig_profile(workload.hardware.gpu, workload.sharing.profile)
    except UsageError:
        return None


def share(workload: Workload) -> Share | None:
    """Return what a pod has of a GPU, None where the GPU is not known."""
    try:
        return share_of(workload.sharing, gpu_named(workload.hardware.gpu)) if workload.needs.gpus else None
    except UsageError:
        return None


def sharing_maps(workload: Workload) -> list[Manifest]:
    """Return the GPU operator's ConfigMap; none where GPUs are whole."""
    return operator.config_maps(workload.name, workload.sharing, cut_into(workload)) if workload.needs.gpus else []


def sharing_texts(workload: Workload) -> dict[str, bytes]:
    """Return what is no object: the operator's patch, and the configurations for a cluster without an operator."""
    sharing, profile = workload.sharing, cut_into(workload)
    if not workload.needs.gpus or not sharing.is_shared:
        return {}
    documents: dict[str, dict[str, Any]] = {"device_plugin.config.yaml": plugin_config(sharing)}
    if profile is not None:
        documents["mig_parted.config.yaml"] = mig_config(profile)
    if operator.config_maps(workload.name, sharing, profile):
        documents["cluster_policy.patch.yaml"] = operator.policy_patch(workload.name, sharing)
    return {f"{FOLDER}/{name}": operator.plain_yaml(document).encode() for name, document in documents.items()}


def sharing_commands(workload: Workload) -> list[str]:
    """Return the commands that have the cluster share its GPUs so."""
    return operator.commands(workload.sharing, cut_into(workload)) if workload.needs.gpus else []


def claim_templates(workload: Workload) -> list[Manifest]:
    """Return the template of a pod's claim; none where pods ask the device plugin."""
    if not is_claimed(workload):
        return []
    request = device_request(workload.sharing, workload.needs.gpus, products(workload))
    head = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": metadata(workload)}
    return [{**head, "spec": {"spec": {"devices": {"requests": [request]}}}}]


def pod_claims(workload: Workload) -> Manifest:
    """Return a pod's claims."""
    if not is_claimed(workload):
        return {}
    return {"resourceClaims": [{"name": REQUEST, "resourceClaimTemplateName": workload.name}]}


def brings_shm(workload: Workload) -> bool:
    """Whether /dev/shm comes with the GPU: MPS's clients reach its daemon there, and a mount of ours would hide it.

    Source: k8s-device-plugin: internal/plugin/mps.go (updateReponse); its issue 805.
    """
    return workload.sharing.mode == "mps" and workload.needs.gpus > 0


def sharing_refusals(workload: Workload) -> Iterator[Refusal]:
    """Yield what of the cluster's side cannot be; what a repository itself says against sharing, `check` finds."""
    sharing, gpus, said = workload.sharing, workload.needs.gpus, workload.deploy.gpus.resource
    ranks = workload.launch.world_size if workload.launch else 1
    if sharing.is_shared and gpus > 1:
        message = f"a pod needs {gpus} GPUs, and sharing: {sharing} gives it less than one"
        yield message, "sharing: none"
    elif sharing.is_shared and gpus and ranks > 1:  # over several nodes, a rank on each
        yield f"an engine of {ranks} ranks spans no shares, and sharing is {sharing}", "sharing: none"
    if gpus and (message := resource_problem(sharing, said)):
        yield message, "leave gpus.resource out"
    if sharing.mode == "mig" and gpus:
        yield from _cut_refusals(workload)
    if is_claimed(workload):
        yield from _claim_refusals(workload)


def _cut_refusals(workload: Workload) -> Iterator[Refusal]:
    gpu, name = workload.hardware.gpu, workload.sharing.profile
    try:
        problem = cut_problem(gpu, name, workload.deploy.gpus.products)
    except UsageError as none:
        yield none.message, none.hint or "sharing: none"
        return
    if problem:
        yield f"deploy.gpus.products has {problem}", "products that are cut alike, or a spec for each"


def _claim_refusals(workload: Workload) -> Iterator[Refusal]:
    sharing, deploy = workload.sharing, workload.deploy
    if deploy.kubernetes_version < CLAIMS_SINCE:
        message = f"Kubernetes {deploy.kubernetes} has no claims (resource.k8s.io/v1)"
        yield message, "deploy: {kubernetes: '1.34'}; or gpus: {by: device-plugin}"
    if sharing.shares > 1:
        message = f"a claim is one pod's, and sharing: {sharing} shares a GPU between pods"
        yield message, "deploy: {gpus: {by: device-plugin}}; or sharing: mig:PROFILE"
    said = deploy.gpus.resource
    if said not in (WHOLE, resource_of(sharing)):
        message = f"a claim asks for no resource, and deploy.gpus.resource is {said}"
        yield message, "sharing: mig:PROFILE for a slice, and leave gpus.resource out; or gpus: {by: device-plugin}"
