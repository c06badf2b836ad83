"""What in a set says how a node's GPUs are shared: files of the device plugin and mig-parted, also in ConfigMaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tritonsmith.generator.catalog.labels import SHARING_STRATEGY
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, entries_at, items_at, place_at, text_at, texts_at, typed
from tritonsmith.generator.checks.manifests.pods import Pod
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error, warning
from tritonsmith.generator.manifests.sharing.schemas import File, kind_of_file
from tritonsmith.generator.spec.tree import Node, Scalar, parse_documents

METHODS = {"mps": "mps", "timeSlicing": "time-slicing"}


@dataclass(frozen=True, eq=False)
class SharingFile:
    """One such file: what it holds, where it stands, and the ConfigMap that it is part of, if any."""

    kind: File
    values: dict[str, Any]
    node: Node
    owner: str
    place: Place | None = None  # of all of it, where it is text in a ConfigMap

    def error(self, path: tuple[str | int, ...], message: str, remedy: str) -> Finding:
        """Return an error about something in it."""
        return error(message, self._place(path), key=self.owner, remedy=remedy)

    def warning(self, path: tuple[str | int, ...], message: str, remedy: str) -> Finding:
        """Return a warning about something in it."""
        return warning(message, self._place(path), key=self.owner, remedy=remedy)

    def _place(self, path: tuple[str | int, ...]) -> Place:
        return self.place or place_at(self.node, *path)

    def shared(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Yield each resource that is shared: the method, its position there, and what is said of it."""
        for method in METHODS:
            block = below(self.values, "sharing", method)
            resources = block.get("resources")
            for index, resource in enumerate(resources if isinstance(resources, list) else []):
                if isinstance(resource, dict):
                    yield method, index, resource

    def refuses_two(self, method: str) -> bool:
        """Whether a pod that asks for two shares is refused: by MPS unless it is told not to."""
        said = below(self.values, "sharing", method).get("failRequestsGreaterThanOne")
        return said if isinstance(said, bool) else method == "mps"


def sharing_files(case: Manifests) -> list[SharingFile]:
    """Return the files of a set."""
    return case.once(_sharing_files)


def handed_out(case: Manifests) -> dict[str, bool]:
    """Return the names of shares, and whether a pod that asks for two is refused on every node that has them."""
    found: dict[str, bool] = {}
    for file in sharing_files(case):
        for method, _, resource in file.shared():
            is_renamed = below(file.values, "sharing", method).get("renameByDefault") is True
            name = f"{resource.get('name')}{'.shared' if is_renamed else ''}"
            found[name] = found.get(name, True) and file.refuses_two(method)
    return found


def names_mps(pod: Pod) -> bool:
    """Whether a pod is to be on a node that shares its GPUs by MPS, as it says itself."""
    affinity = at(pod.spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    wanted = [
        texts_at(expression, "values")
        for term in items_at(affinity, "nodeSelectorTerms")
        for expression in items_at(term, "matchExpressions")
        if text_at(expression, "key") == SHARING_STRATEGY
    ]
    return ["mps"] in wanted or text_at(pod.spec, "nodeSelector", SHARING_STRATEGY) == "mps"


def below(values: Any, *path: str) -> dict[str, Any]:
    """Return the mapping at a path, an empty one where there is none."""
    for step in path:
        values = values.get(step) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _sharing_files(case: Manifests) -> list[SharingFile]:
    found = [_file_of(node, "", None) for node in case.values]
    for one in case.of_kind("ConfigMap"):
        for key, node in entries_at(one.node, "data").items():
            if isinstance(node, Scalar) and any(word in node.text for word in ("version", "sharing")):
                found += [_file_of(inner, one.label, one.place("data", key)) for inner in _documents(node.text)]
    return [one for one in found if one is not None]


def _file_of(node: Node, owner: str, place: Place | None) -> SharingFile | None:
    values = typed(node)
    kind = kind_of_file(values)
    return SharingFile(kind, values, node, owner, place) if kind is not None else None


def _documents(text: str) -> list[Node]:
    try:
        return parse_documents(text, "", [])
    except SpecError:  # a ConfigMap may hold anything
        return []
