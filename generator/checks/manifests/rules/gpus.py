"""Rules on GPUs: how many, of which name, on which nodes, and what a roll-out needs of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from tritonsmith.generator.catalog.labels import GPU_PRODUCT
from tritonsmith.generator.catalog.mig import MIG_RESOURCE
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import (
    at,
    entries_at,
    items_at,
    quantity,
    text_at,
)
from tritonsmith.generator.checks.manifests.pods import Container, Pod
from tritonsmith.generator.checks.manifests.sharing import handed_out
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase, Place
from tritonsmith.generator.manifests.sharing.share import SHARED, WHOLE
from tritonsmith.generator.suggest import did_you_mean

_VENDOR = "nvidia.com/"
# Source: NVIDIA/k8s-device-plugin: README (MIG strategies, shared access), CHANGELOG 0.20 (suffixes).
_MIG = re.compile(r"nvidia\.com/mig-([1-7])g\.([0-9]+)gb([.+-](me|gfx|me\.all))*(\.shared)?")
_PRODUCT = (GPU_PRODUCT, "nvidia.com/gpu.family", "nvidia.com/gpu.compute.major", "nvidia.com/mig.config")
_CLOUD_PRODUCT = (
    "cloud.google.com/gke-accelerator",
    "node.kubernetes.io/instance-type",
    "karpenter.k8s.aws/instance-gpu-name",
    "accelerator",
)
_SPAWNS = "TRTLLM_ORCHESTRATOR"


@check_manifests("TK300", "a pod asks for a GPU for each of its ranks", phase=Phase.START)
def gpus_are_the_ranks(case: Manifests) -> Iterator[Finding]:
    """Each rank (tensor times pipeline parallelism, times the engine's instances) has a GPU of its own: with fewer
    the start fails, with more some idle.

    Source: TensorRT-LLM: triton_backend/scripts/launch_triton_server.py (world_size).
    """
    for pod, server in case.servers:
        ranks = server.start.ranks
        is_claimed = at(server.node, "resources", "claims") is not None  # whose template says how many
        if pod.role or ranks is None or _spawns(server) or is_claimed:
            continue
        place, remedy = _gpu_place(server), f"ask for {ranks} GPUs"
        if ranks > max(pod.gpus, 1):
            message = f"{ranks} ranks are started on {pod.gpus} GPUs"
            yield pod.owner.error(place, message, remedy=remedy)
        elif ranks < pod.gpus and (ranks > 1 or server.has_engines):
            message = f"{pod.gpus} GPUs are asked for and {ranks} ranks started: {pod.gpus - ranks} idle"
            yield pod.owner.warning(place, message, remedy=remedy)


@check_manifests("TK301", "a GPU is requested as it is limited", phase=Phase.APPLY)
def gpus_are_limits(case: Manifests) -> Iterator[Finding]:
    """GPUs are extended resources: a whole number, given as a limit, and a request, where there is one, equals it.

    Source: kubernetes: pkg/apis/core/validation (ValidateResourceRequirements); Schedule GPUs.
    """
    for pod in case.pods:
        for container in (*pod.init_containers, *pod.containers):
            for side in ("limits", "requests"):
                for name in entries_at(container.node, "resources", side):
                    amount, limit = container.resource(side, name), container.resource("limits", name)
                    place = container.place("resources", side, name)
                    if not name.startswith(_VENDOR) or amount is None:
                        continue
                    if amount.denominator != 1:
                        message = f"{text_at(container.node, 'resources', side, name)} of {name}: GPUs are whole"
                        yield pod.owner.error(place, message, remedy="a MIG slice, or shared GPUs, are less than one")
                    elif side == "requests" and limit != amount:
                        other = "no limit" if limit is None else f"a limit of {limit}"
                        message = f"{name}: {amount} is requested, with {other}"
                        yield pod.owner.error(place, message, remedy=f"limits: {{{name}: {amount}}}")


@check_manifests("TK302", "a GPU's resource has a name that nodes have", phase=Phase.START)
def resource_names_are_known(case: Manifests) -> Iterator[Finding]:
    """The device plugin offers nvidia.com/gpu, nvidia.com/gpu.shared and nvidia.com/mig-<g>g.<memory>gb: a pod that
    asks for another name is never placed.

    Source: NVIDIA/k8s-device-plugin: README; mig-parted: config-default.yaml.
    """
    for pod in case.pods:
        for container in (*pod.init_containers, *pod.containers):
            for name in entries_at(container.node, "resources", "limits"):
                if name.startswith(_VENDOR) and name not in (WHOLE, SHARED) and not _MIG.fullmatch(name):
                    message = f"no node has {name}.{did_you_mean(name, (WHOLE, SHARED))}"
                    place = container.place("resources", "limits", name)
                    yield pod.owner.error(place, message, remedy="for example nvidia.com/gpu, nvidia.com/mig-1g.10gb")


@check_manifests("TK303", "a share of a GPU is asked for once")
def shares_are_single(case: Manifests) -> Iterator[Finding]:
    """Two shares of a GPU may lie on one and are no more of it than one is; MPS refuses them. A process sees one MIG
    slice alone, and slices do not reach each other: no parallelism over them.

    Source: NVIDIA/k8s-device-plugin: README (shared access to GPUs); MIG user guide.
    """
    told = handed_out(case)  # TK315
    for pod in case.pods:
        for container in pod.containers:
            for name, count in container.gpus.items():
                is_shared, is_slice = name.endswith(".shared"), name.startswith(MIG_RESOURCE)
                if count > 1 and name not in told and (is_shared or is_slice):
                    what = "shares, which may all be of one GPU" if is_shared else "slices, of which a process sees one"
                    message = f"{count} {what}"
                    place = container.place("resources", "limits", name)
                    yield pod.owner.warning(place, message, remedy="ask for 1, and for more pods")


@check_manifests("TK304", "a roll-out needs no GPU that is not there")
def rollouts_need_no_spare_gpu(case: Manifests) -> Iterator[Finding]:
    """A rolling update starts a new pod before it ends an old one, by default one for every four: where no GPU is
    free it waits for ever.

    Source: kubernetes: Deployments (maxSurge, 25 % by default, rounded up).
    """
    for pod, _ in case.fleet:
        if not pod.gpus or pod.owner.kind not in ("Deployment", "LeaderWorkerSet"):
            continue
        surge = _surge(pod)
        if surge:
            pods = f"{surge} more pod{'s'[: surge != 1]} of {pod.gpus} GPU{'s'[: pod.gpus != 1]}"
            path = ("spec", "strategy") if pod.owner.at("spec", "strategy") else ("spec",)
            message = f"a rolling update starts {pods} before an old one ends"
            remedy = "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}, or keep GPUs free"
            yield pod.owner.warning(pod.owner.place(*path), message, remedy=remedy)


@check_manifests("TK305", "an engine runs on the GPU that it was built for")
def engines_are_placed(case: Manifests) -> Iterator[Finding]:
    """An engine of TensorRT-LLM is built for one kind of GPU; on a node with another it does not load.

    Source: TensorRT: engines are tied to the compute capability; gpu-feature-discovery: nvidia.com/gpu.product.
    """
    for pod, server in case.fleet:
        if server.has_engines and pod.gpus and not _names_product(pod):
            message = "no node affinity names the GPU that the engines were built for"
            place = pod.place("affinity") if at(pod.spec, "affinity") else pod.place("containers")
            yield pod.owner.warning(place, message, remedy=f"affinity on {GPU_PRODUCT} In [...]")


@check_manifests("TK306", "a server of engines asks for a GPU", phase=Phase.START)
def engines_have_gpus(case: Manifests) -> Iterator[Finding]:
    """TensorRT-LLM does not start without a GPU; a pod that asks for none sees none, or all of the node's.

    Source: NVIDIA/k8s-device-plugin: README (a warning on pods that request no GPU).
    """
    for pod, server in case.serving:
        claims = at(server.node, "resources", "claims")
        if server.has_engines and not pod.gpus and claims is None and not pod.is_runtime:
            message = f"{server.name} runs TensorRT-LLM and asks for no GPU"
            yield pod.owner.warning(server.place("name"), message, remedy="limits: {nvidia.com/gpu: 1}")


def _spawns(server: Container) -> bool:
    """Whether the server starts its engines' ranks itself."""
    names = {text_at(variable, "name") for variable in items_at(server.node, "env")}
    return _SPAWNS in names or any(_SPAWNS in word for command in server.start.commands for word in command.words)


def _gpu_place(server: Container) -> Place:
    name = next(iter(server.gpus), "")
    return server.place("resources", "limits", name) if name else server.start_place


def _surge(pod: Pod) -> int:
    """Return how many pods a rolling update adds."""
    if pod.owner.kind == "LeaderWorkerSet":
        return _amount(pod.owner.text("spec", "rolloutStrategy", "rollingUpdateConfiguration", "maxSurge") or "0", 1)
    if pod.owner.text("spec", "strategy", "type") == "Recreate":
        return 0
    return _amount(pod.owner.text("spec", "strategy", "rollingUpdate", "maxSurge") or "25%", pod.replicas or 1)


def _amount(text: str, replicas: int) -> int:
    share = quantity(text.removesuffix("%"))
    if share is None:
        return 0
    return math.ceil(share * Fraction(replicas, 100)) if text.endswith("%") else int(share)


def _names_product(pod: Pod) -> bool:
    """Whether a pod says on which GPUs it runs."""
    keys = set(entries_at(pod.spec, "nodeSelector"))
    affinity = at(pod.spec, "affinity", "nodeAffinity")
    terms = items_at(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for term in terms:
        keys |= {text_at(expression, "key") for expression in items_at(term, "matchExpressions")}
    return any(key in (*_PRODUCT, *_CLOUD_PRODUCT) for key in keys)
