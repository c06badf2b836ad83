"""Services: one address for HTTP, gRPC and metrics, and a headless one whose names are the pods', for gRPC."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, serving_labels
from tritonsmith.generator.manifests.workload import Workload


def services(workload: Workload) -> list[Manifest]:
    """Return the ClusterIP Service, and the headless one: a gRPC client that balances needs to see every pod."""
    return [_service(workload, ""), _service(workload, "-headless")]


def _service(workload: Workload, suffix: str) -> Manifest:
    ports = [{"name": name, "port": number, "targetPort": name} for name, number in workload.ports.items()]
    for port in ports:
        # an HTTPRoute's backend is spoken to in HTTP/1.1 where nothing says otherwise; with TLS its handshake says it
        if port["name"] == "grpc" and not workload.server.tls:
            port["appProtocol"] = "kubernetes.io/h2c"
    spec: Manifest = {"clusterIP": "None"} if suffix else {"type": "ClusterIP"}
    spec |= {"selector": serving_labels(workload), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(workload, suffix), "spec": spec}
