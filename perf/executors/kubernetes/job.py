"""The Indexed Job of a sweep, as data: the server's own pod, with the cell in its place or beside it.

Source: kubernetes: Job, batch/v1 (completionMode Indexed: $JOB_COMPLETION_INDEX; podFailurePolicy needs restartPolicy
Never; FailIndex needs backoffLimitPerIndex); sidecars, KEP-753 (an init container with restartPolicy Always).
"""

from __future__ import annotations

import math
from typing import Any

from tritonsmith.generator.manifests.kubernetes.core import Manifest, component
from tritonsmith.generator.manifests.kubernetes.pod import pod_spec
from tritonsmith.generator.manifests.server import MODELS, PORTS
from tritonsmith.perf.executors.kubernetes.core import Fleet

RETRIES = 2  # of an index whose pod was lost or failed with what may not come again
# Exit statuses of a cell that another try would end with too: Python's own for a module that is not there, then those
# of generator/errors.py for wrong usage, spec, repository and a missing tool.
HOPELESS = [1, 2, 3, 4, 5]
WAIT_S = 86_400  # that a Job may wait for nodes, and that its pods' logs are kept
GENERATOR = {"cpu": "2", "memory": "2Gi"}  # for perf_analyzer and what drives it, beside a server
CELL = "cell"
MODULE = "tritonsmith.perf.executors.kubernetes.cell"


def job(fleet: Fleet) -> Manifest:
    """Return the Job: one index for each block, each in a pod of its own on a node of its own."""
    indices = len(fleet.blocks)
    at_once = min(fleet.wish.workers or indices, indices)
    pod_s = pod_seconds(fleet)
    spec: Manifest = {
        "completionMode": "Indexed",
        "completions": indices,
        "parallelism": at_once,
        "backoffLimitPerIndex": RETRIES,
        "podFailurePolicy": {"rules": failure_rules()},
        "activeDeadlineSeconds": math.ceil(indices / at_once) * (RETRIES + 1) * pod_s + WAIT_S,
        "ttlSecondsAfterFinished": WAIT_S,
        "template": {
            "metadata": {"labels": labels(fleet)},
            "spec": {**sweep_pod(fleet), "activeDeadlineSeconds": pod_s},
        },
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(fleet, fleet.name), "spec": spec}


def failure_rules() -> list[Manifest]:
    """Return what is done with a failed pod: the first rule that holds; else it is tried again, `RETRIES` times."""
    lost = {"type": "DisruptionTarget", "status": "True"}  # preempted, evicted, its node drained: counts as no try
    hopeless = {"containerName": CELL, "operator": "In", "values": HOPELESS}
    return [
        {"action": "Ignore", "onPodConditions": [lost]},
        {"action": "FailIndex", "onExitCodes": hopeless},
    ]


def pod_seconds(fleet: Fleet) -> int:
    """Return how long a pod may take: the server's start, as long again for each variant, and thrice the measuring."""
    variants = {str(sorted(task.variant.items())) for block in fleet.blocks for task in block.tasks}
    plan = fleet.sweep.plan
    block_s = plan.seconds / plan.repeats
    return math.ceil(fleet.workload.startup_s * (1 + len(variants)) + 3 * block_s)


def sweep_pod(fleet: Fleet) -> Manifest:
    """Return an index's pod: the server's, but that it ends by itself and shares its node with no other one."""
    pod = pod_spec(fleet.workload)
    server, *others = pod["containers"]
    cell = cell_container(fleet, server)
    starting = list(pod.get("initContainers", []))
    if fleet.wish.is_sidecar:
        starting.append(
            {**{key: value for key, value in server.items() if key != "lifecycle"}, "restartPolicy": "Always"}
        )
    volumes = [*pod.get("volumes", []), *own_volumes(fleet)]
    affinity = {**pod.get("affinity", {}), "podAntiAffinity": apart()}
    left_out = ("containers", "initContainers", "topologySpreadConstraints", "restartPolicy", "volumes")
    return {
        **{key: value for key, value in pod.items() if key not in left_out},
        "restartPolicy": "Never",
        "affinity": affinity,
        **({"initContainers": starting} if starting else {}),
        "containers": [cell, *others],
        "volumes": list({volume["name"]: volume for volume in volumes}.values()),
    }


def cell_container(fleet: Fleet, server: Manifest) -> Manifest:
    """Return the container that measures: alone it serves too, and has the server's mounts and resources."""
    is_sidecar = fleet.wish.is_sidecar
    environment = [
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a volume of the pod's own
    ]
    mounts = [*server.get("volumeMounts", []), *own_mounts(fleet)]
    if is_sidecar:
        mounts = [mount for mount in mounts if mount["mountPath"] != "/dev/shm"]  # noqa: S108
    resources = {"requests": GENERATOR, "limits": GENERATOR} if is_sidecar else server.get("resources")
    kept: Manifest = {key: server[key] for key in ("securityContext", "envFrom") if key in server}
    return {
        "name": CELL,
        "image": fleet.wish.image,
        "command": cell_command(fleet),
        "env": environment,
        **({"resources": resources} if resources else {}),
        **kept,
        "volumeMounts": list({mount["mountPath"]: mount for mount in mounts}.values()),
    }


def cell_command(fleet: Fleet) -> list[str]:
    """Return what the container runs; the kubelet puts the pod's variables in the place of $(NAME)."""
    path = fleet.workload.deploy.repository.path.strip("/")
    argv = ["python", "-m", MODULE, "--index", "$(JOB_COMPLETION_INDEX)", "--node", "$(NODE_NAME)"]
    argv += ["--tasks", "/tasks" if fleet.fits_config_map else f"{fleet.results}/{fleet.name}"]
    argv += ["--results", fleet.results, "--repository", f"{MODELS}/{path}".rstrip("/")]
    return argv + (["--url", f"127.0.0.1:{PORTS['http']}"] if fleet.wish.is_sidecar else [])


def own_volumes(fleet: Fleet) -> list[Manifest]:
    """Return the volumes that a server's pod lacks."""
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    if fleet.fits_config_map:
        volumes.append({"name": "tasks", "configMap": {"name": fleet.name}})
    if not fleet.wish.is_store:
        volumes.append({"name": "results", "persistentVolumeClaim": {"claimName": fleet.wish.results}})
    return volumes


def own_mounts(fleet: Fleet) -> list[Manifest]:
    """Return where they are mounted."""
    paths = {"tmp": "/tmp", "tasks": "/tasks", "results": "/results"}  # noqa: S108 - a volume of the pod's own
    return [
        {
            "name": volume["name"],
            "mountPath": paths[volume["name"]],
            **({"readOnly": True} if "configMap" in volume else {}),
        }
        for volume in own_volumes(fleet)
    ]


def apart() -> Manifest:
    """Return the rule that no two pods of sweeps share a node: they would disturb one another."""
    selector = {"matchLabels": {"app.kubernetes.io/managed-by": "tritonsmith", **component("sweep")}}
    term = {"labelSelector": selector, "namespaceSelector": {}, "topologyKey": "kubernetes.io/hostname"}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def labels(fleet: Fleet) -> dict[str, str]:
    """Return the labels of a sweep's pods: not the servers', whose Service must not send requests here."""
    return {
        "app.kubernetes.io/name": "tritonsmith-sweep",
        "app.kubernetes.io/instance": fleet.folder,
        "app.kubernetes.io/managed-by": "tritonsmith",
        **component("sweep"),
    }


def metadata(fleet: Fleet, name: str) -> dict[str, Any]:
    """Return an object's metadata."""
    return {"name": name, "namespace": fleet.workload.deploy.namespace, "labels": labels(fleet)}
