"""The LeaderWorkerSet of servers whose engine spans several nodes: a group of pods is one replica.

Source: kubernetes-sigs/lws: api/leaderworkerset/v1/leaderworkerset_types.go.
"""

from __future__ import annotations

from tritonsmith.generator.catalog.labels import LWS_TOPOLOGY
from tritonsmith.generator.manifests.kubernetes.core import (
    Manifest,
    component,
    metadata,
    object_name,
    pod_labels,
    serving_labels,
)
from tritonsmith.generator.manifests.kubernetes.deployment import replicas
from tritonsmith.generator.manifests.kubernetes.pod import pod_spec, worker_spec
from tritonsmith.generator.manifests.workload import Workload


def leader_worker_sets(workload: Workload) -> list[Manifest]:
    """Return the LeaderWorkerSet; none where a replica is one pod.

    A rank that fails ends all of its engine's, so that a pod's restart recreates the group. Workers are made with the
    leader (LeaderCreated): it is not ready before they work.
    """
    if workload.needs.nodes == 1:
        return []
    workers = {**pod_labels(workload), **component("worker")}
    template = {
        "size": workload.needs.nodes,
        "restartPolicy": "RecreateGroupOnPodRestart",
        "leaderTemplate": {"metadata": {"labels": serving_labels(workload)}, "spec": pod_spec(workload)},
        "workerTemplate": {"metadata": {"labels": workers}, "spec": worker_spec(workload)},
    }
    update = {"maxSurge": 0, "maxUnavailable": 1}
    spec: Manifest = {
        **replicas(workload),
        "startupPolicy": "LeaderCreated",
        "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": update},
        "leaderWorkerTemplate": template,
    }
    head = {**metadata(workload), "name": object_name(workload)}
    if workload.deploy.group_topology:
        head["annotations"] = {LWS_TOPOLOGY: workload.deploy.group_topology}
    return [{"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": head, "spec": spec}]
