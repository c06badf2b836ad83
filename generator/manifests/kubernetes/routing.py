"""The Gateway API: what of a fleet is reached through a gateway, and language models by the prefix of the prompt.

HTTPRoutes hold all of it: of an HTTPRoute and a GRPCRoute on one listener and hostname a gateway takes only the
older. Source: kubernetes-sigs/gateway-api: apis/v1/grpcroute_types.go (Hostnames).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, serving_labels
from tritonsmith.generator.manifests.kubernetes.picker import PICKER_PORT, picker_name, routes_by_prefix
from tritonsmith.generator.manifests.workload import Workload

# What clients need. Loading, logging and shared memory (/v2/repository, /v2/logging ...) stay inside. Below /v2/models
# GET reads (metadata, configuration, statistics), and POST not only asks: it writes a model's settings of tracing, too.
# Source: server: src/http_server.cc (model_regex_).
_HTTP = {"/v2": "Exact", "/v2/health": "PathPrefix"}
_READ = {"/v2/models": "PathPrefix"}
_ASKED = ("infer", "generate", "generate_stream")
_MODELS_OF_A_RULE = 21  # whose paths are 63: a rule takes 64 matches, and a route 128
_GRPC_METHODS = (
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"),
    *("ModelInfer", "ModelStreamInfer"),
)
_GRPC = {f"/inference.GRPCInferenceService/{method}": "Exact" for method in _GRPC_METHODS}
_GRPC_HEALTH = {"/grpc.health.v1.Health/Check": "Exact"}
_PROMPTS = {"/v1/chat/completions": "Exact", "/v1/completions": "Exact"}  # what a picker can read a prompt out of
_OPENAI = {"/v1/models": "PathPrefix", "/v1/embeddings": "Exact"}


def routes(workload: Workload) -> list[Manifest]:
    """Return the HTTPRoute, and a further one for each 21 models beyond the first; none where no gateway is named.

    A model is asked at its own path, without a version: its policy says which is served.
    """
    if not workload.deploy.gateway:
        return []
    http = _service(workload, "http")
    models = [
        _rule(_asked(workload.needs.models[first : first + _MODELS_OF_A_RULE]), http)
        for first in range(0, len(workload.needs.models), _MODELS_OF_A_RULE)
    ]
    rules = [_rule([*_matches(_HTTP), *_matches(_READ, "GET")], http), *models[:1]]
    rules.append(_rule(_matches(_GRPC | _GRPC_HEALTH), _service(workload, "grpc")))
    if workload.deploy.openai:
        prompts = _pool(workload) if routes_by_prefix(workload) else _service(workload, "openai")
        rules += [_rule(_matches(_PROMPTS), prompts), _rule(_matches(_OPENAI), _service(workload, "openai"))]
    further = [_route(workload, f"-{number}", [rule]) for number, rule in enumerate(models[1:], start=2)]
    return [_route(workload, "", rules), *further]


def inference_pools(workload: Workload) -> list[Manifest]:
    """Return the InferencePool: the pods that a picker chooses among; none where nothing is routed by prefix.

    Without its picker a gateway chooses itself: an answer from a cold cache is better than none.
    """
    if not routes_by_prefix(workload):
        return []
    spec = {
        "selector": {"matchLabels": serving_labels(workload)},
        "targetPorts": [{"number": workload.ports["openai"]}],
        "endpointPickerRef": {
            "name": picker_name(workload),
            "port": {"number": PICKER_PORT},
            "failureMode": "FailOpen",
        },
    }
    return [_document("inference.networking.k8s.io/v1", "InferencePool", metadata(workload), spec)]


def _route(workload: Workload, suffix: str, rules: list[Manifest]) -> Manifest:
    namespace, _, name = str(workload.deploy.gateway).rpartition("/")
    parent = {"name": name} | ({"namespace": namespace} if namespace else {})
    spec = {"parentRefs": [parent], "rules": rules}
    return _document("gateway.networking.k8s.io/v1", "HTTPRoute", metadata(workload, suffix), spec)


def _rule(matches: Iterable[Manifest], backend: Manifest) -> Manifest:
    """Return a rule; a gateway's own limit, 15 s in some, would cut answers off: the client has one."""
    return {"matches": list(matches), "backendRefs": [backend], "timeouts": {"request": "0s"}}


def _matches(paths: Mapping[str, str], method: str = "") -> Iterator[Manifest]:
    """Yield a match for each path, of any method where none is given."""
    for path, kind in paths.items():
        yield {"path": {"type": kind, "value": path}} | ({"method": method} if method else {})


def _asked(models: Iterable[str]) -> Iterator[Manifest]:
    """Yield the matches of what models are asked by."""
    names = [quote(name, safe="") for name in models]
    return _matches({f"/v2/models/{name}/{verb}": "Exact" for name in names for verb in _ASKED}, "POST")


def _service(workload: Workload, port: str) -> Manifest:
    return {"name": workload.name, "port": workload.ports[port]}


def _pool(workload: Workload) -> Manifest:
    return {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": workload.name}


def _document(api_version: str, kind: str, described: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": described, "spec": spec}
