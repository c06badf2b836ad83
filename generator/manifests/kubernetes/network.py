"""The NetworkPolicy: requests from the whole cluster, metrics for those who watch, all between an engine's ranks."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, Workload, metadata


def network_policies(workload: Workload) -> list[Manifest]:
    """Return who may connect to the pods; what comes from outside the cluster comes through a gateway's pods."""
    serving = [number for name, number in workload.ports.items() if name != "metrics"]
    rules: list[Manifest] = [{"from": [{"namespaceSelector": {}}], "ports": _tcp(serving)}]
    if "metrics" in workload.ports:
        watching = {"kubernetes.io/metadata.name": workload.deploy.monitoring}
        own: Manifest = {"podSelector": {}}  # of the same namespace: what routes by a pod's metrics runs there
        watchers = [{"namespaceSelector": {"matchLabels": watching}}, own]
        rules.append({"from": watchers, "ports": _tcp([workload.ports["metrics"]])})
    if workload.needs.nodes > 1:  # MPI and NCCL choose their ports
        rules.append({"from": [{"podSelector": {"matchLabels": dict(workload.labels)}}]})
    spec = {
        "podSelector": {"matchLabels": dict(workload.labels)},
        "policyTypes": ["Ingress"],
        "ingress": rules,
    }
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return [{**kind, "metadata": metadata(workload), "spec": spec}]


def _tcp(numbers: list[int]) -> list[Manifest]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
