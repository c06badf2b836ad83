"""The endpoint picker: asked by the gateway for each prompt, it answers which pod has its prefix, and time for it.

It hashes prompts in blocks and remembers where it sent them; of the servers it reads queue, running requests and KV
cache, under names that it knows as `triton-tensorrt-llm`.
Source: llm-d/llm-d-router v0.10.0: config/charts/routerlib/templates, pkg/epp/server/options.go, pkg/epp/framework/
plugins/{datalayer/source/metrics,datalayer/extractor/metrics,requestcontrol/dataproducer/approximateprefix}; the
protocol: kubernetes-sigs/gateway-api-inference-extension v1.6.0: docs/proposals/003-model-server-protocol.
"""

from __future__ import annotations

import hashlib

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata
from tritonsmith.generator.manifests.kubernetes.rules import publishes_engine_metrics
from tritonsmith.generator.manifests.kubernetes.security import container_security
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.manifests.yaml_text import to_yaml

# the index of v0.10.0's images, as others who run it pin it
_DIGEST = "sha256:2e516fa1310da7be59b82beb1445362139597d6d553ef04d546716abe3aaaa70"
PICKER_IMAGE = f"ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.10.0@{_DIGEST}"
PICKER_PORT, _HEALTH_PORT, _METRICS_PORT = 9002, 9003, 9090
SMALLEST_BLOCK = 64  # tokens; the picker takes no smaller one (llm-d-router #1158), a multiple of the engine's 32
# by default every 50 ms, of the same Python process that serves the prompts; older than 2 s counts as unknown
SCRAPE_INTERVAL = "500ms"
_CONFIG = "picker.yaml"
# its own chart asks 8 CPUs and 8Gi, for hundreds of pods
_RESOURCES = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
_WEIGHTS = {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}  # its own defaults


def picker_name(workload: Workload) -> str:
    """Return the name of the picker's objects."""
    return f"{workload.name}-picker"


def routes_by_prefix(workload: Workload) -> bool:
    """Whether prompts are routed by their prefix: a gateway, OpenAI's API, and an engine that tells its queue.

    Raises: RepositoryError for an LLM that reuses nothing of its KV cache: there would be nothing to route to.
    """
    if not (workload.deploy.gateway and workload.deploy.openai and publishes_engine_metrics(workload)):
        return False
    for cache in workload.needs.kv_caches:
        if not cache.is_reused:
            raise RepositoryError(
                f"{cache.model}: {cache.parameter} is off: no prompt finds its prefix where an earlier one went, and "
                "routing by prefix would only unbalance the pods",
                where=f"deploy.gateway: {workload.deploy.gateway}",
                hint=f"turn {cache.parameter} on (the engine needs paged context FMHA), or leave gateway out",
            )
    return True


def pickers(workload: Workload) -> list[Manifest]:
    """Return the picker's Deployment, Service, configuration and rights; none where nothing is routed by prefix."""
    if not routes_by_prefix(workload):
        return []
    config = {"data": {_CONFIG: to_yaml([picker_config(workload)])}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(workload)}
    return [
        account,
        *_rights(workload),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(workload), **config},
        _service(workload),
        _deployment(workload),
    ]


def picker_config(workload: Workload) -> Manifest:
    """Return the EndpointPickerConfig: its blocks are the engine's, as the metrics say; until then of the size here."""
    blocks = max([SMALLEST_BLOCK, *(cache.tokens_per_block for cache in workload.needs.kv_caches)])
    scraped = {"scheme": "http", "path": "/metrics", "port": workload.ports[workload.metrics_port]}
    return {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [
            {
                "type": "approx-prefix-cache-producer",
                "parameters": {"autoTune": True, "blockSizeTokens": blocks},
            },
            *({"type": scorer} for scorer in _WEIGHTS),
            {"type": "metrics-data-source", "parameters": {**scraped, "interval": SCRAPE_INTERVAL}},
            {"type": "core-metrics-extractor", "parameters": {"defaultEngine": "triton-tensorrt-llm"}},
        ],
        "schedulingProfiles": [
            {
                "name": "default",
                "plugins": [{"pluginRef": scorer, "weight": weight} for scorer, weight in _WEIGHTS.items()],
            }
        ],
    }


def _labels(workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": "endpoint-picker", "app.kubernetes.io/instance": workload.name}


def _metadata(workload: Workload) -> Manifest:
    found = metadata(workload, "-picker")
    return found | {"labels": found["labels"] | _labels(workload)}


def _rights(workload: Workload) -> list[Manifest]:
    """Return what it may read: pods, its pool, and priorities where their kinds are installed."""
    reading = ["get", "list", "watch"]
    optional = ["inferenceobjectives", "inferencemodelrewrites"]
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": reading},
        {"apiGroups": ["inference.networking.k8s.io"], "resources": ["inferencepools"], "verbs": reading},
        {"apiGroups": ["llm-d.ai", "inference.networking.x-k8s.io"], "resources": optional, "verbs": reading},
    ]
    name, api = picker_name(workload), "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": workload.deploy.namespace}
    bound = {"roleRef": {"apiGroup": api, "kind": "Role", "name": name}, "subjects": [subject]}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": _metadata(workload), "rules": rules},
        {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": _metadata(workload), **bound},
    ]


def _service(workload: Workload) -> Manifest:
    port = {"name": "grpc", "port": PICKER_PORT, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}
    spec = {"type": "ClusterIP", "selector": _labels(workload), "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(workload), "spec": spec}


def _deployment(workload: Workload) -> Manifest:
    """Return the Deployment: one pod, since two would each know half of where prompts went."""
    digest = hashlib.sha256(to_yaml([picker_config(workload)]).encode()).hexdigest()
    annotations = {"checksum/config": digest}  # another configuration is another pod
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": _labels(workload)},
        "template": {"metadata": {"labels": _labels(workload), "annotations": annotations}, "spec": _pod(workload)},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(workload), "spec": spec}


def _pod(workload: Workload) -> Manifest:
    return {
        "serviceAccountName": picker_name(workload),
        "terminationGracePeriodSeconds": workload.grace_s,  # it watches over the streams of pods that end
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(workload)],
        "volumes": [{"name": "config", "configMap": {"name": picker_name(workload)}}],
    }


def _container(workload: Workload) -> Manifest:
    probe = {"grpc": {"port": _HEALTH_PORT, "service": "inference-extension"}}
    ports = {"grpc": PICKER_PORT, "health": _HEALTH_PORT, "metrics": _METRICS_PORT}
    return {
        "name": "picker",
        "image": PICKER_IMAGE,
        "args": [
            f"--pool-name={workload.name}",
            f"--pool-namespace={workload.deploy.namespace}",
            "--pool-group=inference.networking.k8s.io",
            f"--config-file=/config/{_CONFIG}",
            f"--grpc-port={PICKER_PORT}",
            f"--grpc-health-port={_HEALTH_PORT}",
            f"--metrics-port={_METRICS_PORT}",
            "--metrics-endpoint-auth=false",  # it would need rights over the whole cluster
            "--enable-pprof=false",
            "--tracing=false",
            "--zap-encoder=json",
        ],
        "ports": [{"name": name, "containerPort": number} for name, number in ports.items()],
        "livenessProbe": {**probe, "initialDelaySeconds": 5, "periodSeconds": 10},
        "readinessProbe": {**probe, "periodSeconds": 2},
        "resources": _RESOURCES,
        "securityContext": container_security(),
        "volumeMounts": [{"name": "config", "mountPath": "/config", "readOnly": True}],
    }
