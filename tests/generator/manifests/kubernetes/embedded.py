"""The parts of a document that are Kubernetes' own: pods and containers inside the kinds of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tritonsmith.generator.manifests.kubernetes.schemas import Schema


def embedded(document: Any, schema: Schema, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the parts of a document that are Kubernetes' own, as objects of its own kinds: where, and the object.

    Fields of a pod or a container that lie among others are put into a Pod, with what a Pod cannot be without.
    """
    if isinstance(document, dict):
        if schema.get("x-is") == "PodTemplate":
            yield place, {"apiVersion": "v1", "kind": "PodTemplate", "template": document}
        known = schema.get("properties", {})
        fields = {of: {key: document[key] for key in document if _of(known, key) == of} for of in ("Pod", "Container")}
        if fields["Container"]:
            yield place, _pod({"containers": [{"name": "main", **fields["Container"]}]})
        if fields["Pod"]:
            yield place, _pod({"containers": [{"name": "main"}], **fields["Pod"]})
        for key in (key for key in document if key in known):
            yield from embedded(document[key], known[key], f"{place}.{key}" if place else key)
    elif isinstance(document, list) and "items" in schema:
        for index, item in enumerate(document):
            yield from embedded(item, schema["items"], f"{place}.{index}")


def _of(known: Mapping[str, Schema], key: str) -> str:
    return str(known.get(key, {}).get("x-of", ""))


def _pod(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec}
