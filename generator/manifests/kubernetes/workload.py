"""The Deployment of servers that are one pod each."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, Workload, component, metadata
from tritonsmith.generator.manifests.kubernetes.pod import pod_spec


def deployments(workload: Workload) -> list[Manifest]:
    """Return the Deployment; none where one replica spans several nodes."""
    if workload.needs.nodes > 1:
        return []
    template = {"metadata": {"labels": {**workload.labels, **component("server")}}, "spec": pod_spec(workload)}
    # an autoscaler's number of replicas must not be undone by the next apply
    spec: Manifest = {} if workload.deploy.autoscale else {"replicas": workload.deploy.replicas}
    spec |= {"selector": {"matchLabels": dict(workload.serving_labels)}, "template": template}
    return [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(workload), "spec": spec}]
