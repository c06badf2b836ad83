"""What the cluster must have before the first apply, by subject: each what, and how to see whether it has."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.manifests.kubernetes.picker import PICKER_IMAGE, routes_by_prefix
from tritonsmith.generator.manifests.kubernetes.placement import products
from tritonsmith.generator.manifests.kubernetes.sharing import is_claimed
from tritonsmith.generator.manifests.workload import Workload

Prerequisite = tuple[str, str]  # what, and a command that shows it; "" where there is none


def prerequisites(workload: Workload) -> Iterator[Prerequisite]:
    """Yield what the cluster must have before the first apply: what, and how to see whether it has."""
    deploy = workload.deploy
    yield f"Kubernetes {deploy.kubernetes} or newer, kubectl of 1.21 or newer", "kubectl version"
    yield f"the namespace {deploy.namespace}", f"kubectl create namespace {deploy.namespace}"
    yield from _gpus(workload)
    yield from _repository(workload)
    yield from _pulled(workload)
    yield from _watching(workload)
    if workload.needs.nodes > 1:
        yield "LeaderWorkerSet (lws), its API v1", "kubectl get crd leaderworkersets.leaderworkerset.x-k8s.io"
    yield from _gateway(workload)
    if deploy.kserve:
        yield "for kserve/: KServe in Standard (raw) mode", "kubectl get crd inferenceservices.serving.kserve.io"


def _gpus(workload: Workload) -> Iterator[Prerequisite]:
    if is_claimed(workload):
        yield (
            "NVIDIA's DRA driver with GPUs turned on (gpuResourcesEnabledOverride), not yet supported officially",
            "kubectl get deviceclass gpu.nvidia.com mig.nvidia.com",
        )
        return
    if workload.needs.gpus:
        on = f" on {' or '.join(products(workload))}" if products(workload) else ""
        yield (
            f"nodes with {workload.gpu_resource}{on}, labelled by NVIDIA's GPU operator",
            "kubectl get nodes -L nvidia.com/gpu.product",
        )
    if products(workload) and not workload.sharing.is_shared:  # whose labels stay
        what = "that label as it is named here: a shared GPU's ends with -SHARED, and MIG's single strategy adds the "
        yield f"{what}slice's name; else say the label's own value in deploy.gpus.products", ""


def _repository(workload: Workload) -> Iterator[Prerequisite]:
    source, namespace = workload.deploy.repository, workload.deploy.namespace
    if source.claim:
        mode = "ReadOnlyMany or ReadWriteMany, since replicas share it"
        yield f"the claim {source.claim}, {mode}", f"kubectl -n {namespace} get pvc {source.claim}"
    if source.volume:
        yield (
            f"pull access to {source.volume}, and the feature ImageVolume (on by default since 1.35)",
            "kubectl get nodes -o wide",
        )
    if source.secret:
        yield (
            f"the Secret {source.secret} with the store's variables",
            f"kubectl -n {namespace} get secret {source.secret}",
        )


def _pulled(workload: Workload) -> Iterator[Prerequisite]:
    """Yield who may pull the image, and the account of the pods."""
    deploy = workload.deploy
    if deploy.pull_secret:
        yield (
            f"the Secret {deploy.pull_secret}, of type kubernetes.io/dockerconfigjson",
            f"kubectl -n {deploy.namespace} get secret {deploy.pull_secret}",
        )
    elif deploy.image:
        yield f"pull access to {deploy.image}, by its nodes or by deploy.pull_secret", ""
    if deploy.service_account:
        yield (
            f"the ServiceAccount {deploy.service_account}",
            f"kubectl -n {deploy.namespace} get serviceaccount {deploy.service_account}",
        )


def _watching(workload: Workload) -> Iterator[Prerequisite]:
    """Yield who reads metrics, and who scales by them."""
    deploy = workload.deploy
    scaled = [deploy.autoscale, *(region.autoscale for region in deploy.regions.values())]
    scalers = {found.by for found in scaled if found is not None}
    if workload.metrics_port:
        yield (
            f"the Prometheus operator, its Prometheus in the namespace {deploy.monitoring} selecting these objects",
            "kubectl get crd podmonitors.monitoring.coreos.com",
        )
    if "hpa" in scalers:
        yield (
            "prometheus-adapter with the values of prometheus-adapter.values.yaml",
            "kubectl get --raw /apis/custom.metrics.k8s.io/v1beta1",
        )
    if "keda" in scalers or (deploy.kserve and scalers):
        yield "KEDA 2.17 or newer", "kubectl get crd scaledobjects.keda.sh"


def _gateway(workload: Workload) -> Iterator[Prerequisite]:
    deploy = workload.deploy
    if deploy.gateway:
        yield f"a Gateway {deploy.gateway} that lets routes of {deploy.namespace} attach", "kubectl get gateways -A"
        version = r"jsonpath='{.metadata.annotations.gateway\.networking\.k8s\.io/bundle-version}'"
        yield (
            "Gateway API 1.2 or newer (timeouts, and more than 8 matches in a rule)",
            f"kubectl get crd httproutes.gateway.networking.k8s.io -o {version}",
        )
    if routes_by_prefix(workload):
        yield (
            "a gateway that knows InferencePool v1 (Inference Extension 1.0 or newer)",
            "kubectl get crd inferencepools.inference.networking.k8s.io",
        )
        yield f"pull access to {PICKER_IMAGE}", ""
