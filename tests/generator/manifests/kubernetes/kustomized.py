"""What kustomize makes of a folder that we wrote, as far as we use it: resources, a namespace, two kinds of patches."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Mapping
from typing import Any

import yaml

Document = dict[str, Any]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text: bytes) -> list[Document]:
    """Return the documents of a YAML file."""
    return [found for found in yaml.load_all(text, Loader=_Loader) if found]


def applied(files: Mapping[str, bytes], folder: str) -> list[Document]:
    """Return the objects that `kubectl kustomize` prints for a folder."""
    (found,) = documents(files[f"{folder}/kustomization.yaml"])
    objects: list[Document] = []
    for resource in found["resources"]:
        path = posixpath.normpath(f"{folder}/{resource}")
        objects += documents(files[path]) if path in files else applied(files, path)
    for patch in found.get("patches", ()):
        objects = _patched(objects, patch)
    for document in objects:
        if "namespace" in found:
            document["metadata"]["namespace"] = found["namespace"]
    return objects


def _patched(objects: list[Document], patch: Document) -> list[Document]:
    (change,) = documents(patch["patch"].encode())
    if isinstance(change, dict):
        assert change["$patch"] == "delete"
        left = [document for document in objects if not _is(document, _named(change))]
        assert len(left) == len(objects) - 1, "a patch that finds nothing"
        return left
    target = patch["target"]
    (found,) = [document for document in objects if _is(document, target)]
    for operation in change:
        _operate(found, operation)
    return objects


def _named(document: Document) -> Document:
    group, _, version = document["apiVersion"].rpartition("/")
    return {"group": group, "version": version, "kind": document["kind"], **document["metadata"]}


def _is(document: Document, target: Document) -> bool:
    named = _named(document)
    return all(named.get(key, "") == value for key, value in target.items())


def _operate(document: Document, operation: Document) -> None:
    *above, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    parent: Any = document
    for part in above:
        parent = parent[int(part) if isinstance(parent, list) else part]
    key = int(last) if isinstance(parent, list) else last
    if operation["op"] == "remove":
        del parent[key]
        return
    assert operation["op"] == "add" or isinstance(parent, list) or key in parent, "replaces what is not there"
    parent[key] = copy.deepcopy(operation["value"])
