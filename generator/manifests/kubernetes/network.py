"""The NetworkPolicy: requests from the whole cluster, metrics for those who watch, all between an engine's ranks."""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, pod_labels
from tritonsmith.generator.manifests.workload import Workload


def network_policies(workload: Workload, ports: Mapping[str, int] | None = None) -> list[Manifest]:
    """Return who may connect to the pods, which listen at the workload's ports where no others are given.

    What comes from outside the cluster comes through a gateway's pods, or from the addresses that the spec names.
    """
    ports = workload.ports if ports is None else ports
    serving = [number for name, number in ports.items() if name != "metrics"]
    outside = [{"ipBlock": {"cidr": addresses}} for addresses in workload.deploy.clients]
    rules: list[Manifest] = [{"from": [{"namespaceSelector": {}}, *outside], "ports": _tcp(serving)}]
    if "metrics" in ports:
        watching = {"kubernetes.io/metadata.name": workload.deploy.monitoring}
        own: Manifest = {"podSelector": {}}  # of the same namespace: what routes by a pod's metrics runs there
        watchers = [{"namespaceSelector": {"matchLabels": watching}}, own]
        rules.append({"from": watchers, "ports": _tcp([ports["metrics"]])})
    if workload.needs.nodes > 1:  # MPI and NCCL choose their ports
        rules.append({"from": [{"podSelector": {"matchLabels": pod_labels(workload)}}]})
    spec = {
        "podSelector": {"matchLabels": pod_labels(workload)},
        "policyTypes": ["Ingress"],
        "ingress": rules,
    }
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return [{**kind, "metadata": metadata(workload), "spec": spec}]


def _tcp(numbers: list[int]) -> list[Manifest]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
