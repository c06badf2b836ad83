"""What differs between two sets of objects, as what kustomize makes the second of the first with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.yaml_text import to_yaml

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Changes:
    """What an overlay does to the folders that it takes: kustomize's patches, and the objects that come in addition."""

    patches: tuple[Manifest, ...]
    additions: tuple[Manifest, ...]


def changes(before: Sequence[Manifest], after: Sequence[Manifest]) -> Changes:
    """Return what makes `after` of `before`; objects are the same where kind, namespace and name are."""
    old = {key_of(found): found for found in before}
    new = {key_of(found): found for found in after}
    patches = []
    for key, document in old.items():
        if key not in new:
            patches.append(_removal(document))
        elif operations := list(_operations(document, new[key], "")):
            patches.append({"target": _target(document), "patch": _text(operations)})
    return Changes(tuple(patches), tuple(document for key, document in new.items() if key not in old))


def key_of(document: Manifest) -> Key:
    """Return what an object is told from others by: apiVersion, kind, namespace, name."""
    described = document["metadata"]
    return document["apiVersion"], document["kind"], described.get("namespace", ""), described["name"]


def _target(document: Manifest) -> Manifest:
    group, _, version = document["apiVersion"].rpartition("/")
    _, kind, namespace, name = key_of(document)
    target = {"group": group, "version": version, "kind": kind, "namespace": namespace, "name": name}
    return {key: value for key, value in target.items() if value}


def _removal(document: Manifest) -> Manifest:
    described = {key: value for key, value in document["metadata"].items() if key in ("namespace", "name")}
    found = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": described, "$patch": "delete"}
    return {"patch": _text(found)}


def _text(document: Any) -> str:
    return to_yaml([document]).removeprefix("---\n")


def _operations(old: Any, new: Any, path: str) -> Iterator[Manifest]:
    """Yield JSON Patch's operations (RFC 6902) that make `new` of `old`; a list of another length is replaced whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key in new:
                yield from _operations(old[key], new[key], _below(path, key))
            else:
                yield {"op": "remove", "path": _below(path, key)}
        yield from ({"op": "add", "path": _below(path, key), "value": new[key]} for key in new if key not in old)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _operations(before, after, f"{path}/{index}")
    elif old != new:
        yield {"op": "replace", "path": path, "value": new}


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
