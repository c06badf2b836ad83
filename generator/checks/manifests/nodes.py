"""Looking into a YAML tree that nobody has validated: what is absent or of another shape is None or empty."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from tritonsmith.generator.findings import Place
from tritonsmith.generator.spec.tree import Mapping, Node, Scalar, Sequence

Step = str | int
_QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,2})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|)")
_FACTORS = {"m": Fraction(1, 1000), "": Fraction(1)} | {
    f"{letter}{suffix}": Fraction(base**power)
    for suffix, base in (("", 1000), ("i", 1024))
    for power, letter in enumerate("kMGTPE" if not suffix else "KMGTPE", 1)
}
_DECIMAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Prometheus' and Kubernetes' durations: 30s, 1m30s, 1h, 500ms
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def at(node: Node | None, *path: Step) -> Node | None:
    """Return what lies at a path of keys and positions."""
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str):
            node = node.entries.get(step)
        elif isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


def text_at(node: Node | None, *path: Step) -> str:
    """Return a scalar's text, empty where there is none."""
    found = at(node, *path)
    return found.text if isinstance(found, Scalar) and found.is_given else ""


def number_at(node: Node | None, *path: Step) -> int | None:
    """Return a whole number."""
    found = at(node, *path)
    return found.whole_number if isinstance(found, Scalar) else None


def is_true(node: Node | None, *path: Step) -> bool:
    """Whether a flag is set."""
    return text_at(node, *path) == "true"


def items_at(node: Node | None, *path: Step) -> list[Node]:
    """Return a list's items, none where there is no list."""
    found = at(node, *path)
    return found.items if isinstance(found, Sequence) else []


def texts_at(node: Node | None, *path: Step) -> list[str]:
    """Return the scalars of a list as text."""
    return [item.text for item in items_at(node, *path) if isinstance(item, Scalar)]


def entries_at(node: Node | None, *path: Step) -> dict[str, Node]:
    """Return a mapping's entries, none where there is no mapping."""
    found = at(node, *path)
    return found.entries if isinstance(found, Mapping) else {}


def words_at(node: Node | None, *path: Step) -> dict[str, str]:
    """Return a mapping of scalars as text: labels, annotations, data."""
    return {key: value.text for key, value in entries_at(node, *path).items() if isinstance(value, Scalar)}


def typed(node: Node) -> Any:
    """Return a tree as JSON's data: what is not quoted can be a number, a flag or nothing."""
    if isinstance(node, Mapping):
        return {key: typed(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [typed(item) for item in node.items]
    if node.is_quoted:
        return node.text
    if not node.is_given:
        return None
    number = node.whole_number
    if number is not None:
        return number
    if node.text in ("true", "false"):
        return node.text == "true"
    return float(node.text) if _DECIMAL.fullmatch(node.text) else node.text


def place_at(node: Node, *path: Step) -> Place:
    """Return where what lies at a path was written: its key, or the nearest key before it that there is."""
    place = node.place
    current: Node | None = node
    for step in path:
        if isinstance(current, Mapping) and isinstance(step, str) and step in current.entries:
            place = current.place_of(step)
        current = at(current, step)
        if current is None:
            break
        if isinstance(step, int):
            place = current.place
    return place


def quantity(text: str) -> Fraction | None:
    """Return an amount as Kubernetes writes it (2, 500m, 16Gi), None where it is none.

    Source: kubernetes: apimachinery/pkg/api/resource/quantity.go.
    """
    match = _QUANTITY.fullmatch(text.strip())
    return Fraction(match[1]) * _FACTORS[match[2]] if match else None


def quantity_at(node: Node | None, *path: Step) -> Fraction | None:
    """Return an amount."""
    return quantity(text_at(node, *path))


def seconds(text: str) -> float | None:
    """Return a duration (30s, 1m30s) in seconds, None where it is none."""
    if not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"([0-9]+)(ms|[smhdwy])", text)
    return float(sum(int(count) * _SECONDS[unit] for count, unit in parts))


def in_words(amount: Fraction) -> str:
    """Return an amount of bytes for a message: 16 GiB, 512 MiB."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount >= size:
            return f"{float(amount / size):.4g} {unit}"
    return f"{float(amount):.4g} bytes"
