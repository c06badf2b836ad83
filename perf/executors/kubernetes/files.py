"""The folder that is applied: the Job and its tasks; and a pod through which files get to a claim and back."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.generator.manifests.folder import write_folder
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.kustomize import kustomization
from tritonsmith.generator.manifests.yaml_text import to_yaml
from tritonsmith.perf.executors.kubernetes.core import SweepJob
from tritonsmith.perf.executors.kubernetes.job import job, labels, metadata, scripts, sweep_pod

COPY_S = 3600  # how long the pod for copying lives


def render(sweep_job: SweepJob) -> dict[str, bytes]:
    """Return every file by its path; where the tasks are too big for a ConfigMap they lie in tasks/."""
    objects: dict[str, list[Manifest]] = {"job.yaml": [*scripts(sweep_job), job(sweep_job)]}
    if sweep_job.fits_config_map:
        objects["tasks.yaml"] = [config_map(sweep_job)]
    documents = {**objects, "kustomization.yaml": [kustomization(sorted(objects))]}
    if not sweep_job.wish.is_store:
        documents["copy.yaml"] = [copy_pod(sweep_job)]
    files = {name: to_yaml(content).encode() for name, content in documents.items()}
    if sweep_job.fits_config_map:
        return files
    return files | {f"tasks/{name}": data for name, data in sweep_job.orders.items()}


def config_map(sweep_job: SweepJob) -> Manifest:
    """Return the tasks as a ConfigMap, which nobody changes under a running Job."""
    texts = {name: content.decode() for name, content in sweep_job.orders.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(sweep_job, sweep_job.name),
        "immutable": True,
        "data": texts,
    }


def copy_pod(sweep_job: SweepJob) -> Manifest:
    """Return a pod that has the claim mounted and does nothing: `kubectl cp` reads and writes through it."""
    pod = sweep_pod(sweep_job)
    [cell, *_] = pod["containers"]
    [mount] = [mount for mount in cell["volumeMounts"] if mount["name"] == "results"]
    container = {
        "name": "copy",
        "image": cell["image"],
        # `kubectl cp` makes no parents
        "command": ["sh", "-c", f"mkdir -p {sweep_job.results} && exec sleep {COPY_S}"],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": cell["securityContext"],
        "volumeMounts": [mount],
    }
    kept: Manifest = {key: pod[key] for key in ("securityContext", "automountServiceAccountToken")}
    volumes = [volume for volume in pod["volumes"] if volume["name"] == "results"]
    spec = {
        **kept,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": volumes,
    }
    about = metadata(sweep_job, copy_name(sweep_job))
    about["labels"] = {**labels(sweep_job), "app.kubernetes.io/component": "copy"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


def copy_name(sweep_job: SweepJob) -> str:
    """Return the name of the pod for copying."""
    return f"{sweep_job.folder}-copy"


def write_files(sweep_job: SweepJob, folder: Path) -> bool:
    """Write a Job's folder and return whether it was; one that is there is left: it is this Job, edited or not.

    Raises: UsageError where the disk does not take it.
    """
    if (folder / "job.yaml").is_file():
        return False
    write_folder(folder, render(sweep_job), is_forced=True)
    return True
