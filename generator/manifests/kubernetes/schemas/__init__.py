"""Schemas, written by us, of the kinds that Kubernetes itself does not know: what we write of them, and closed.

Every field that a kind has is named, so that a misspelt one is found; those that we do not write are not looked into.
The words used are JSON Schema's: type, properties, required, additionalProperties, minProperties, items, minItems,
maxItems, minLength, minimum, maximum, pattern, enum, const, anyOf. `$ref` points into shared.json. A part that is one
of Kubernetes' own kinds is marked `x-is`, a field that one of them has `x-of`; `faults` leaves these to Kubernetes'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]
FOLDER = Path(__file__).parent
KINDS: Mapping[tuple[str, str], str] = {
    ("gateway.networking.k8s.io/v1", "GRPCRoute"): "grpc_route",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "http_route",
    ("inference.networking.k8s.io/v1", "InferencePool"): "inference_pool",
    ("keda.sh/v1alpha1", "ScaledObject"): "scaled_object",
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"): "kustomization",
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"): "leader_worker_set",
    ("llm-d.ai/v1alpha1", "EndpointPickerConfig"): "endpoint_picker_config",
    ("monitoring.coreos.com/v1", "PodMonitor"): "pod_monitor",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "prometheus_rule",
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): "serving_runtime",
    ("serving.kserve.io/v1beta1", "InferenceService"): "inference_service",
}


@cache
def schema_of(api_version: str, kind: str) -> Schema | None:
    """Return a kind's schema, whole in itself; None for a kind that has none here."""
    name = KINDS.get((api_version, kind))
    if name is None:
        return None
    shared = json.loads((FOLDER / "shared.json").read_bytes())
    schema: Schema = _resolved(json.loads((FOLDER / f"{name}.json").read_bytes()), shared)
    return schema


def _resolved(part: Any, shared: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_resolved(item, shared) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _resolved(shared[part["$ref"].removeprefix("shared.json#/")], shared)
    return {key: _resolved(value, shared) for key, value in part.items()}
