"""The PodDisruptionBudget: a node is drained one pod at a time."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, pod_labels
from tritonsmith.generator.manifests.workload import Workload


def disruption_budgets(workload: Workload) -> list[Manifest]:
    """Return the budget: one pod at a time may be evicted, and always one that is not ready anyway.

    It counts pods that may be missing, not such that must be there: a fleet of one could else never be moved.
    """
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": pod_labels(workload)},
    }
    return [{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(workload), "spec": spec}]
