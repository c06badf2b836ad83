"""The Deployment of servers that are one pod each."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, object_name, serving_labels
from tritonsmith.generator.manifests.kubernetes.pod import pod_spec
from tritonsmith.generator.manifests.workload import Workload

LEAST_PROGRESS_S = 600  # Kubernetes' own
SLACK_S = 60


def deployments(workload: Workload) -> list[Manifest]:
    """Return the Deployment; none where one replica spans several nodes."""
    if workload.needs.nodes > 1:
        return []
    template = {"metadata": {"labels": serving_labels(workload)}, "spec": pod_spec(workload)}
    spec: Manifest = {
        **replicas(workload),
        "selector": {"matchLabels": serving_labels(workload)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update(workload)},
        # a pod that takes its whole budget is slow, not stuck
        "progressDeadlineSeconds": max(LEAST_PROGRESS_S, workload.ready_s + workload.grace_s + SLACK_S),
        "template": template,
    }
    name = object_name(workload)
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**metadata(workload), "name": name}}
    return [{**head, "spec": spec}]


def replicas(workload: Workload) -> Manifest:
    """Return the number of replicas; not said where an autoscaler decides, whom the next apply would contradict."""
    return {} if workload.deploy.autoscale else {"replicas": workload.deploy.replicas}


def rolling_update(workload: Workload) -> Manifest:
    """Return how pods are replaced: with GPUs one leaves before its successor comes, since a spare GPU is rare."""
    if workload.needs.gpus:
        return {"maxSurge": 0, "maxUnavailable": 1}
    return {"maxSurge": 1, "maxUnavailable": 0}
