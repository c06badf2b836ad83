"""Kubernetes' own schemas (the package kubernetes-validate, strict) and ours, over documents as they are written.

A kind that neither knows is a fault. Parts of other kinds that are Kubernetes' own, pods above all, are looked at too,
and documents that are text in a ConfigMap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
import yaml
from kubernetes_validate.utils import all_versions, schema_contents
from referencing import Registry, Resource

from tests.generator.manifests.kubernetes.embedded import embedded
from tritonsmith.generator.manifests.kubernetes.schemas import schema_of

Document = Mapping[str, Any]
VERSIONS = tuple(found for found in dict.fromkeys(all_versions()) if tuple(map(int, found.split(".")[:2])) >= (1, 30))


@cache
def own_validator(api_version: str, kind: str) -> jsonschema.Draft202012Validator | None:
    """Return the validator of a schema of ours."""
    schema = schema_of(api_version, kind)
    return None if schema is None else jsonschema.Draft202012Validator(schema)


@cache
def _registry(version: str) -> Registry[Any]:
    path = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    return Resource.from_contents(schema_contents(path, version)) @ Registry()


@cache
def kubernetes_validator(version: str, api_version: str, kind: str) -> jsonschema.Draft202012Validator | None:
    """Return the strict validator of a kind of Kubernetes' own; what kubernetes_validate.validate makes each time."""
    group, _, number = api_version.rpartition("/")
    name = f"{kind.lower()}-{group.partition('.')[0]}-{number}" if group else f"{kind.lower()}-{number}"
    try:
        schema = schema_contents(f"kubernetes-json-schema/v{version}-local-strict/{name}.json", version)
    except FileNotFoundError:
        return None
    registry = Resource.from_contents(schema) @ _registry(version)
    return jsonschema.Draft202012Validator(schema, registry=registry)


def documents_within(document: Document) -> Iterator[Document]:
    """Yield the documents with a kind that are text within a ConfigMap, for a program that reads them itself."""
    texts = document.get("data", {}) if document["kind"] == "ConfigMap" else {}
    for name, text in texts.items():
        found = yaml.safe_load_all(text) if name.endswith(".yaml") else ()
        yield from (one for one in found if isinstance(one, dict) and "kind" in one)


def faults(document: Document, version: str) -> tuple[str, ...]:
    """Return what a version of Kubernetes, and the operators beside it, would have against a document."""
    return _faults(json.dumps(document), version)


@cache
def _faults(text: str, version: str) -> tuple[str, ...]:
    document = json.loads(text)
    api_version, kind = document["apiVersion"], document["kind"]
    own, schema = own_validator(api_version, kind), schema_of(api_version, kind)
    if own is not None and schema is not None:
        parts = (part for _, part in embedded(document, schema))
        return (*_found(own, document), *(fault for part in parts for fault in faults(part, version)))
    validator = kubernetes_validator(version, api_version, kind)
    if validator is None:
        return (f"{kind} of {api_version} is known neither to Kubernetes {version} nor to us",)
    within = (fault for one in documents_within(document) for fault in faults(one, version))
    return (*_found(validator, document), *within)


def _found(validator: jsonschema.Draft202012Validator, document: Document) -> Iterator[str]:
    name = f"{document['kind']} {document.get('metadata', {}).get('name', '')}"
    return (f"{name}: {fault.json_path}: {fault.message[:200]}" for fault in validator.iter_errors(document))
