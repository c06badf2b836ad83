"""The Gateway API: what of a fleet is reached through a gateway, and language models by the prefix of the prompt.

One HTTPRoute holds all of it: of an HTTPRoute and a GRPCRoute on one listener and hostname a gateway takes only the
older. Source: kubernetes-sigs/gateway-api: apis/v1/grpcroute_types.go (Hostnames).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonsmith.generator.manifests.kubernetes.core import Manifest, Workload, metadata
from tritonsmith.generator.manifests.kubernetes.picker import PICKER_PORT, picker_name, routes_by_prefix

# What clients need. Loading, logging, tracing and shared memory (/v2/repository, /v2/logging ...) stay inside.
_HTTP = {"/v2": "Exact", "/v2/health": "PathPrefix", "/v2/models": "PathPrefix"}
_GRPC_METHODS = (
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"),
    *("ModelInfer", "ModelStreamInfer"),
)
_GRPC = {f"/inference.GRPCInferenceService/{method}": "Exact" for method in _GRPC_METHODS}
_GRPC_HEALTH = {"/grpc.health.v1.Health/Check": "Exact"}
_PROMPTS = {"/v1/chat/completions": "Exact", "/v1/completions": "Exact"}  # what a picker can read a prompt out of
_OPENAI = {"/v1/models": "PathPrefix", "/v1/embeddings": "Exact"}


def routes(workload: Workload) -> list[Manifest]:
    """Return the HTTPRoute; none where the spec names no gateway."""
    if not workload.deploy.gateway:
        return []
    rules = [_rule(_HTTP, _service(workload, "http")), _rule(_GRPC | _GRPC_HEALTH, _service(workload, "grpc"))]
    if workload.deploy.openai:
        prompts = _pool(workload) if routes_by_prefix(workload) else _service(workload, "openai")
        rules += [_rule(_PROMPTS, prompts), _rule(_OPENAI, _service(workload, "openai"))]
    namespace, _, name = workload.deploy.gateway.rpartition("/")
    parent = {"name": name} | ({"namespace": namespace} if namespace else {})
    spec = {"parentRefs": [parent], "rules": rules}
    return [_document("gateway.networking.k8s.io/v1", "HTTPRoute", metadata(workload), spec)]


def inference_pools(workload: Workload) -> list[Manifest]:
    """Return the InferencePool: the pods that a picker chooses among; none where nothing is routed by prefix.

    Without its picker a gateway chooses itself: an answer from a cold cache is better than none.
    """
    if not routes_by_prefix(workload):
        return []
    spec = {
        "selector": {"matchLabels": dict(workload.serving_labels)},
        "targetPorts": [{"number": workload.ports["openai"]}],
        "endpointPickerRef": {
            "name": picker_name(workload),
            "port": {"number": PICKER_PORT},
            "failureMode": "FailOpen",
        },
    }
    return [_document("inference.networking.k8s.io/v1", "InferencePool", metadata(workload), spec)]


def _rule(paths: dict[str, str], backend: Manifest) -> Manifest:
    """Return a rule; a gateway's own limit, 15 s in some, would cut answers off: the client has one."""
    matches: Sequence[Any] = [{"path": {"type": kind, "value": path}} for path, kind in paths.items()]
    return {"matches": matches, "backendRefs": [backend], "timeouts": {"request": "0s"}}


def _service(workload: Workload, port: str) -> Manifest:
    return {"name": workload.name, "port": workload.ports[port]}


def _pool(workload: Workload) -> Manifest:
    return {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": workload.name}


def _document(api_version: str, kind: str, described: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": described, "spec": spec}
