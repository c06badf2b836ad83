"""What every kind of object shares: its data, its metadata, the names and labels by which objects find one another."""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.manifests.workload import Workload

Manifest = dict[str, Any]  # one Kubernetes object, as YAML's data


def metadata(workload: Workload, suffix: str = "", **more: Any) -> Manifest:
    """Return an object's metadata: every object of ours has the workload's name, with a suffix where it is a second."""
    labels = {**pod_labels(workload), "app.kubernetes.io/managed-by": "tritonsmith"}
    return {"name": workload.name + suffix, "namespace": workload.deploy.namespace, "labels": labels, **more}


def pod_labels(workload: Workload) -> dict[str, str]:
    """Return the labels that select its pods, in every selector."""
    return {"app.kubernetes.io/name": "tritonserver", "app.kubernetes.io/instance": workload.name}


def serving_labels(workload: Workload) -> dict[str, str]:
    """Return the labels that select the pods that answer: all of them, or the leaders of several nodes' groups."""
    return {**pod_labels(workload), **component("server")}


def component(name: str) -> dict[str, str]:
    """Return the label that says what a pod is: `server` answers, `worker` holds further ranks of an engine."""
    return {"app.kubernetes.io/component": name}


def object_name(workload: Workload) -> str:
    """Return the Deployment's name, or the LeaderWorkerSet's.

    The latter makes a headless Service of its own name, which must not be ours.
    Source: lws: pkg/utils/controller/controller_utils.go (CreateHeadlessServiceIfNotExists).
    """
    return workload.name if workload.needs.nodes == 1 else f"{workload.name}-group"


def scale_target(workload: Workload) -> Manifest:
    """Return what an autoscaler refers to."""
    if workload.needs.nodes == 1:
        return {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(workload)}
    return {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": object_name(workload)}
