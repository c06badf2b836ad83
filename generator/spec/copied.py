"""Which values of a blueprint's models are its settings, as they were written under `with:`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tritonsmith.generator.findings import Place
from tritonsmith.generator.spec import tree

# Where a key and its value were written, by the key and the value's text.
Places = Mapping[tuple[str, str], tuple[Place, Place]]


def with_places_of(fragment: tree.Mapping, pipeline: tree.Mapping) -> tree.Mapping:
    """Return what a blueprint made of a pipeline; a field with a setting's name and value stands where that does."""
    return _placed(fragment, dict(_places_in(pipeline)))


def _places_in(given: tree.Mapping) -> Iterator[tuple[tuple[str, str], tuple[Place, Place]]]:
    for key, node in given.entries.items():
        if isinstance(node, tree.Mapping):
            yield from _places_in(node)
        elif isinstance(node, tree.Scalar) and node.is_given:
            yield (key, node.text), (given.place_of(key), node.place)


def _placed(fragment: tree.Mapping, places: Places) -> tree.Mapping:
    entries: dict[str, tree.Node] = {}
    keys = dict(fragment.keys)
    for key, node in fragment.entries.items():
        entries[key] = _placed_node(node, places)
        if isinstance(node, tree.Scalar) and (key, node.text) in places:
            keys[key], place = places[key, node.text]
            entries[key] = replace(node, place=place)
    return tree.Mapping(entries, fragment.place, keys)


def _placed_node(node: tree.Node, places: Places) -> tree.Node:
    if isinstance(node, tree.Mapping):
        return _placed(node, places)
    if isinstance(node, tree.Sequence):
        return tree.Sequence([_placed_node(item, places) for item in node.items], node.place)
    return node
