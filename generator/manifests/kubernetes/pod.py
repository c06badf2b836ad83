"""The pods of a server: the one that answers, and those that hold further ranks of its engine."""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.generator.manifests.command import command
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.placement import placement, spread
from tritonsmith.generator.manifests.kubernetes.probes import probes
from tritonsmith.generator.manifests.kubernetes.resources import resources
from tritonsmith.generator.manifests.kubernetes.security import account_name, container_security, pod_security
from tritonsmith.generator.manifests.kubernetes.sharing import brings_shm, pod_claims
from tritonsmith.generator.manifests.kubernetes.shutdown import lifecycle
from tritonsmith.generator.manifests.kubernetes.sources import (
    credentials,
    fetch_containers,
    is_fetched,
    mounts,
    volumes,
)
from tritonsmith.generator.manifests.memory import shm_mib
from tritonsmith.generator.manifests.openai import ENVIRONMENT
from tritonsmith.generator.manifests.ranks import FOLDER, has_ranks, rank_environment
from tritonsmith.generator.manifests.workload import Workload

CONTAINER = "triton"
HOME = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108 - it can be written, the repository cannot
# NVIDIA's images say `all`, and a node's runtime then shows all GPUs to a pod that asks for none.
# Source: k8s-device-plugin: README (Running GPU Jobs, its warning); nvidia-container-toolkit: NVIDIA_VISIBLE_DEVICES.
NO_GPU = {"NVIDIA_VISIBLE_DEVICES": "void"}
SHM = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - a volume's place


def pod_spec(workload: Workload) -> Manifest:
    """Return the pod that answers: a replica, or the leader of several nodes'."""
    gathering = [_script(workload, "gather", "gather.sh")] if workload.needs.nodes > 1 else []
    return {**_pod(workload, container(workload), gathering), **spread(workload)}


def worker_spec(workload: Workload) -> Manifest:
    """Return the pod of further ranks: it serves nobody, and ends when the leader's mpirun ends it."""
    own = ("ports", "lifecycle", "startupProbe", "readinessProbe", "livenessProbe")
    worker = {key: value for key, value in container(workload).items() if key not in own}
    return _pod(workload, {**worker, "args": ["bash", f"{FOLDER}/join.sh"]}, [])


def container(workload: Workload) -> Manifest:
    """Return the container that serves.

    Its command are arguments of the image's entry point, which prepares CUDA's libraries and becomes the command
    (server: docker/cpu_only/nvidia_entrypoint.sh): tritonserver is process 1 and gets SIGTERM.
    """
    return {
        "name": CONTAINER,
        "image": workload.image,
        "args": command(workload),
        "env": _environment(workload),
        **({} if is_fetched(workload) else credentials(workload)),
        "ports": [{"name": name, "containerPort": number} for name, number in workload.ports.items()],
        "resources": resources(workload),
        **probes(workload),
        "lifecycle": lifecycle(workload),
        "securityContext": container_security(),
        "volumeMounts": [*mounts(workload), *_scratch(), *_shm(workload), *_scripts(workload)],
    }


def _pod(workload: Workload, serving: Manifest, waiting: list[Manifest]) -> Manifest:
    fetching = fetch_containers(workload, _variables(HOME), _scratch())
    shm = {"medium": "Memory", "sizeLimit": f"{shm_mib(workload)}Mi"}
    shared: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    shared += [] if brings_shm(workload) else [{"name": "shm", "emptyDir": shm}]
    secret = workload.deploy.pull_secret
    if has_ranks(workload):
        shared.append({"name": "ranks", "configMap": {"name": f"{workload.name}-ranks"}})
    return {
        "serviceAccountName": account_name(workload),
        **({"imagePullSecrets": [{"name": secret}]} if secret else {}),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.grace_s,
        "securityContext": pod_security(),
        **({"initContainers": [*fetching, *waiting]} if fetching or waiting else {}),
        "containers": [serving],
        "volumes": [*volumes(workload), *shared],
        **pod_claims(workload),
        **placement(workload),
    }


def _script(workload: Workload, name: str, script: str) -> Manifest:
    """Return an init container that runs one of the ranks' scripts."""
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}
    return {
        "name": name,
        "image": workload.image,
        "args": ["bash", f"{FOLDER}/{script}"],
        "resources": resources,
        "securityContext": container_security(),
        "volumeMounts": [*_scratch(), *_scripts(workload)],
    }


def _environment(workload: Workload) -> list[Manifest]:
    front_end = ENVIRONMENT if workload.deploy.openai else {}
    unseen = {} if workload.needs.gpus else NO_GPU
    return _variables({**HOME, **unseen, **rank_environment(workload), **front_end})


def _variables(values: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _scratch() -> list[Manifest]:
    return [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own


def _shm(workload: Workload) -> list[Manifest]:
    return [] if brings_shm(workload) else [SHM]


def _scripts(workload: Workload) -> list[Manifest]:
    return [{"name": "ranks", "mountPath": FOLDER, "readOnly": True}] if has_ranks(workload) else []
