"""The folder that is applied: the Job and its tasks; and a pod through which files get to a claim and back."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.generator.manifests.folder import write_folder
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.kustomize import kustomization
from tritonsmith.generator.manifests.yaml_text import to_yaml
from tritonsmith.perf.executors.kubernetes.core import Fleet
from tritonsmith.perf.executors.kubernetes.job import job, labels, metadata, scripts, sweep_pod

COPY_S = 3600  # how long the pod for copying lives


def render(fleet: Fleet) -> dict[str, bytes]:
    """Return every file by its path; where the tasks are too big for a ConfigMap they lie in tasks/."""
    objects: dict[str, list[Manifest]] = {"job.yaml": [*scripts(fleet), job(fleet)]}
    if fleet.fits_config_map:
        objects["tasks.yaml"] = [config_map(fleet)]
    documents = {**objects, "kustomization.yaml": [kustomization(sorted(objects))]}
    if not fleet.wish.is_store:
        documents["copy.yaml"] = [copy_pod(fleet)]
    files = {name: to_yaml(content).encode() for name, content in documents.items()}
    return files if fleet.fits_config_map else files | {f"tasks/{name}": data for name, data in fleet.orders.items()}


def config_map(fleet: Fleet) -> Manifest:
    """Return the tasks as a ConfigMap, which nobody changes under a running Job."""
    texts = {name: content.decode() for name, content in fleet.orders.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(fleet, fleet.name),
        "immutable": True,
        "data": texts,
    }


def copy_pod(fleet: Fleet) -> Manifest:
    """Return a pod that has the claim mounted and does nothing: `kubectl cp` reads and writes through it."""
    pod = sweep_pod(fleet)
    [cell, *_] = pod["containers"]
    [mount] = [mount for mount in cell["volumeMounts"] if mount["name"] == "results"]
    container = {
        "name": "copy",
        "image": cell["image"],
        "command": ["sh", "-c", f"mkdir -p {fleet.results} && exec sleep {COPY_S}"],  # `kubectl cp` makes no parents
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
    about = metadata(fleet, copy_name(fleet))
    about["labels"] = {**labels(fleet), "app.kubernetes.io/component": "copy"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


def copy_name(fleet: Fleet) -> str:
    """Return the name of the pod for copying."""
    return f"{fleet.folder}-copy"


def write_files(fleet: Fleet, folder: Path) -> bool:
    """Write a Job's folder and return whether it was; one that is there is left: it is this Job, edited or not.

    Raises: UsageError where the disk does not take it.
    """
    if (folder / "job.yaml").is_file():
        return False
    write_folder(folder, render(fleet), is_forced=True)
    return True
