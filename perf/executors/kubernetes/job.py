"""The Indexed Job of a sweep, as data: the server's own pod, with the cell in its place or beside it.

Source: kubernetes: Job, batch/v1 (completionMode Indexed: $JOB_COMPLETION_INDEX; podFailurePolicy needs restartPolicy
Never; FailIndex needs backoffLimitPerIndex); sidecars, KEP-753 (an init container with restartPolicy Always).
"""

from __future__ import annotations

import math
from typing import Any

from tritonsmith.generator.manifests.kubernetes.core import Manifest, component
from tritonsmith.generator.manifests.kubernetes.pod import HOME, pod_spec
from tritonsmith.generator.manifests.kubernetes.ranks import rank_scripts
from tritonsmith.generator.manifests.kubernetes.sources import credentials
from tritonsmith.generator.manifests.ranks import has_ranks
from tritonsmith.generator.manifests.server import MODELS, PORTS
from tritonsmith.perf.executors.kubernetes.core import SweepJob
from tritonsmith.perf.executors.kubernetes.measured import GENERATOR_CPUS, GENERATOR_MIB

RETRIES = 2  # of an index whose pod was lost or failed with what may not come again
# Exit statuses of a cell that another try would end with too: Python's own for a module that is not there, then those
# of generator/errors.py for wrong usage, spec, repository and a missing tool.
HOPELESS = [1, 2, 3, 4, 5]
PULL_S = 1800  # that a node may take to get the images and the repository, which counts as a pod's time
WAIT_S = 86_400  # that a Job may wait for nodes, and that its pods' logs are kept
CELL, FETCH, RANKS = "cell", "fetch", "ranks"
FETCH_MODULE = "tritonsmith.backends.deploy.store.fetch"
MODULE = "tritonsmith.perf.executors.kubernetes.cell"


def job(sweep_job: SweepJob) -> Manifest:
    """Return the Job: one index for each block, each in a pod of its own on a node of its own."""
    indices = len(sweep_job.blocks)
    at_once = min(sweep_job.wish.workers or indices, indices)
    pod_s = pod_seconds(sweep_job)
    spec: Manifest = {
        "completionMode": "Indexed",
        "completions": indices,
        "parallelism": at_once,
        "backoffLimitPerIndex": RETRIES,
        "podFailurePolicy": {"rules": failure_rules()},
        "activeDeadlineSeconds": math.ceil(indices / at_once) * (RETRIES + 1) * pod_s + WAIT_S,
        "ttlSecondsAfterFinished": WAIT_S,
        "template": {
            "metadata": {"labels": labels(sweep_job)},
            "spec": {**sweep_pod(sweep_job), "activeDeadlineSeconds": pod_s},
        },
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(sweep_job, sweep_job.name), "spec": spec}


def failure_rules() -> list[Manifest]:
    """Return what is done with a failed pod: the first rule that holds; else it is tried again, `RETRIES` times."""
    lost = {"type": "DisruptionTarget", "status": "True"}  # preempted, evicted, its node drained: counts as no try
    hopeless = {"containerName": CELL, "operator": "In", "values": HOPELESS}
    return [
        {"action": "Ignore", "onPodConditions": [lost]},
        {"action": "FailIndex", "onExitCodes": hopeless},
    ]


def pod_seconds(sweep_job: SweepJob) -> int:
    """Return how long a pod may take: its images, a start, as long again for each variant, and thrice the measuring."""
    variants = {str(sorted(task.variant.items())) for block in sweep_job.blocks for task in block.tasks}
    plan = sweep_job.sweep.plan
    block_s = plan.seconds / plan.repeats
    return math.ceil(PULL_S + sweep_job.workload.startup_s * (1 + len(variants)) + 3 * block_s)


def sweep_pod(sweep_job: SweepJob) -> Manifest:
    """Return an index's pod: the server's, but that it ends by itself and shares its node with no other one."""
    pod = pod_spec(sweep_job.workload)
    [server] = pod["containers"]
    starting = [fetching(sweep_job, one) if one["name"] == FETCH else one for one in pod.get("initContainers", [])]
    if sweep_job.wish.is_sidecar:
        starting.append(sidecar(server))
    volumes = {volume["name"]: volume for volume in [*pod.get("volumes", []), *own_volumes(sweep_job)]}
    left_out = ("containers", "initContainers", "topologySpreadConstraints", "serviceAccountName", "volumes")
    account = sweep_job.workload.deploy.service_account
    return {
        "restartPolicy": "Never",
        **({"serviceAccountName": account} if account else {}),
        **{key: value for key, value in pod.items() if key not in left_out},
        "affinity": {**pod.get("affinity", {}), "podAntiAffinity": keep_apart()},
        **({"initContainers": starting} if starting else {}),
        "containers": [cell_container(sweep_job, server)],
        "volumes": list(volumes.values()),
    }


def fetching(sweep_job: SweepJob, container: Manifest) -> Manifest:
    """Return the init container that fetches the repository, run from the cells' image."""
    kept = {key: value for key, value in container.items() if key not in ("args", "image")}
    command = ["python", "-m", FETCH_MODULE, str(sweep_job.workload.deploy.repository.store), MODELS]
    return {"name": FETCH, "image": sweep_job.wish.image, "command": command, **kept}


def sidecar(server: Manifest) -> Manifest:
    """Return the server's container beside a cell: requests are sent to it once it has started, whatever its load.

    Its gRPC connections are not renewed: what is in flight on them would fail, and be measured.
    """
    left_out = ("lifecycle", "readinessProbe", "livenessProbe")
    kept = {key: value for key, value in server.items() if key not in left_out}
    args = [word for word in server["args"] if not word.startswith("--grpc-max-connection-age")]
    return {**kept, "args": args, "restartPolicy": "Always"}


def cell_container(sweep_job: SweepJob, server: Manifest) -> Manifest:
    """Return the container that measures: alone it serves too, and has the server's mounts and resources."""
    node = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    mounts = {mount["mountPath"]: mount for mount in [*server["volumeMounts"], *own_mounts(sweep_job)]}
    resources = server["resources"]
    if sweep_job.wish.is_sidecar:
        mounts = {path: mount for path, mount in mounts.items() if mount["name"] not in ("shm", RANKS)}
        memory = {"memory": f"{GENERATOR_MIB}Mi"}
        resources = {"requests": {"cpu": str(GENERATOR_CPUS), **memory}, "limits": memory}
    return {
        "name": CELL,
        "image": sweep_job.wish.image,
        "command": cell_command(sweep_job),
        "env": [node, *({"name": name, "value": value} for name, value in HOME.items())],
        **(credentials(sweep_job.workload) if sweep_job.wish.is_store else {}),
        "resources": resources,
        "securityContext": server["securityContext"],
        "volumeMounts": list(mounts.values()),
    }


def cell_command(sweep_job: SweepJob) -> list[str]:
    """Return what the container runs; the kubelet puts the pod's variables in the place of $(NAME)."""
    argv = ["python", "-m", MODULE, "--index", "$(JOB_COMPLETION_INDEX)", "--node", "$(NODE_NAME)"]
    argv += ["--tasks", "/tasks" if sweep_job.fits_config_map else f"{sweep_job.results}/{sweep_job.name}"]
    argv += ["--results", sweep_job.results, "--repository", MODELS]
    return argv + (["--url", f"127.0.0.1:{PORTS['http']}"] if sweep_job.wish.is_sidecar else [])


def own_volumes(sweep_job: SweepJob) -> list[Manifest]:
    """Return the volumes that a server's pod lacks, or has under another name."""
    volumes: list[Manifest] = []
    if sweep_job.fits_config_map:
        volumes.append({"name": "tasks", "configMap": {"name": sweep_job.name}})
    if not sweep_job.wish.is_store:
        volumes.append({"name": "results", "persistentVolumeClaim": {"claimName": sweep_job.wish.results}})
    if sweep_job.wish.is_sidecar and has_ranks(sweep_job.workload):
        volumes.append({"name": RANKS, "configMap": {"name": f"{sweep_job.name}-{RANKS}"}})
    return volumes


def own_mounts(sweep_job: SweepJob) -> list[Manifest]:
    """Return where the cell sees them."""
    names = [volume["name"] for volume in own_volumes(sweep_job) if volume["name"] != RANKS]
    return [
        {"name": name, "mountPath": f"/{name}", **({"readOnly": True} if name == "tasks" else {})} for name in names
    ]


def scripts(sweep_job: SweepJob) -> list[Manifest]:
    """Return the ConfigMap of the scripts that start an engine's ranks; none where the server is one process."""
    made = rank_scripts(sweep_job.workload) if sweep_job.wish.is_sidecar else []
    return [{**one, "metadata": metadata(sweep_job, f"{sweep_job.name}-{RANKS}")} for one in made]


def keep_apart() -> Manifest:
    """Return the rule that no two pods of sweeps share a node: they would disturb one another."""
    selector = {"matchLabels": {"app.kubernetes.io/managed-by": "tritonsmith", **component("sweep")}}
    term = {"labelSelector": selector, "namespaceSelector": {}, "topologyKey": "kubernetes.io/hostname"}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def labels(sweep_job: SweepJob) -> dict[str, str]:
    """Return the labels of a sweep's pods: not the servers', whose Service must not send requests here."""
    return {
        "app.kubernetes.io/name": "tritonsmith-sweep",
        "app.kubernetes.io/instance": sweep_job.folder,
        "app.kubernetes.io/managed-by": "tritonsmith",
        **component("sweep"),
    }


def metadata(sweep_job: SweepJob, name: str) -> dict[str, Any]:
    """Return an object's metadata."""
    return {"name": name, "namespace": sweep_job.workload.deploy.namespace, "labels": labels(sweep_job)}
