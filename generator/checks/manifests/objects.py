"""Kubernetes objects of a set: a YAML document with its kind, name and namespace, and how labels select."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Literal

from tritonsmith.generator.checks.manifests.nodes import Step, at, entries_at, items_at, place_at, text_at, texts_at
from tritonsmith.generator.findings import Finding, Place, error, note, warning
from tritonsmith.generator.spec.tree import Mapping, Node

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True)
class Problem:
    """What reading a set met: what is broken, was not resolved, changes nothing, or is a template of manifests."""

    kind: Literal["broken", "unresolved", "idle", "template"]
    place: Place
    message: str


@dataclass(frozen=True, eq=False)
class Object:
    """One object: its document, and what identifies it."""

    node: Mapping

    @property
    def kind(self) -> str:
        """Its kind."""
        return text_at(self.node, "kind")

    @property
    def api(self) -> str:
        """Its apiVersion, e.g. apps/v1."""
        return text_at(self.node, "apiVersion")

    @property
    def group(self) -> str:
        """Its API group, empty for the core."""
        return self.api.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name."""
        return text_at(self.node, "metadata", "name")

    @property
    def namespace(self) -> str:
        """The namespace that is written, empty where the command line says it."""
        return text_at(self.node, "metadata", "namespace")

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.kind}/{self.name or text_at(self.node, 'metadata', 'generateName') or '?'}"

    def at(self, *path: Step) -> Node | None:
        """Return what lies at a path."""
        return at(self.node, *path)

    def text(self, *path: Step) -> str:
        """Return the text at a path."""
        return text_at(self.node, *path)

    def place(self, *path: Step) -> Place:
        """Return where something was written, or the nearest key around it."""
        return place_at(self.node, *path)

    def error(self, place: Place, message: str, *, remedy: str = "") -> Finding:
        """Return an error about it."""
        return error(message, place, key=self.label, remedy=remedy)

    def warning(self, place: Place, message: str, *, remedy: str = "") -> Finding:
        """Return a warning about it."""
        return warning(message, place, key=self.label, remedy=remedy)

    def note(self, place: Place, message: str, *, remedy: str = "") -> Finding:
        """Return a note about it."""
        return note(message, place, key=self.label, remedy=remedy)


def is_object(node: Mapping) -> bool:
    """Whether a YAML document is a Kubernetes object."""
    return bool(text_at(node, "apiVersion") and text_at(node, "kind"))


def are_together(one: str, other: str) -> bool:
    """Whether two objects can be in one namespace; where one says none, the command line decides."""
    return not one or not other or one == other


def selects(selector: Node | None, labels: AnyMapping[str, str]) -> bool:
    """Whether a label selector takes pods with some labels; {} takes all.

    It is matchLabels and matchExpressions, or plain labels as in a Service.
    """
    expressions = items_at(selector, "matchExpressions") if _has_both(selector) else []
    is_taken = all(labels.get(key) == value for key, value in wanted_labels(selector).items())
    return is_taken and all(_meets(expression, labels) for expression in expressions)


def wanted_labels(selector: Node | None) -> dict[str, str]:
    """Return the labels that a selector asks for by their value."""
    labels = entries_at(selector, "matchLabels") if _has_both(selector) else entries_at(selector)
    return {key: text_at(node) for key, node in labels.items()}


def _has_both(selector: Node | None) -> bool:
    """Whether a selector is of labels and expressions, not of plain labels."""
    return entries_at(selector).keys() <= {"matchLabels", "matchExpressions"}


def _meets(expression: Node, labels: AnyMapping[str, str]) -> bool:
    key, values = text_at(expression, "key"), texts_at(expression, "values")
    match text_at(expression, "operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False
