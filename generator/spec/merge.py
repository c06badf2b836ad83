"""Merging the layers of a spec: facts from files < blueprint < spec < profile.

`input`, `output` and `state` merge by name, other lists are replaced; setting one member of a oneof clears its
siblings; null deletes.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.spec.tree import Mapping, Node, Scalar, Sequence

# Lists whose items merge by a name, and the field that holds it.
NAMED_LISTS = {"input": "name", "output": "name", "state": "input_name"}


def merge_models(lower: Mapping, upper: Mapping) -> Mapping:
    """Return the `models:` mapping of two layers, model by model."""
    merged = dict(lower.entries)
    for name, model in upper.entries.items():
        below = merged.get(name)
        if isinstance(model, Scalar) and model.is_null:
            merged.pop(name, None)
        elif isinstance(below, Mapping) and isinstance(model, Mapping):
            merged[name] = _with_nulls(merge_message(below, model, ModelConfig.DESCRIPTOR), model)
        else:
            merged[name] = model
    return Mapping(merged, upper.place, {**lower.keys, **upper.keys})


def _with_nulls(merged: Mapping, upper: Mapping) -> Mapping:
    """Return a model with the nulls of its upper layer: they delete what facts from files say, too."""
    nulls = {key: node for key, node in upper.entries.items() if isinstance(node, Scalar) and node.is_null}
    return Mapping({**merged.entries, **nulls}, merged.place, merged.keys)


def merge_message(lower: Mapping, upper: Mapping, descriptor: Descriptor | None) -> Mapping:
    """Return a message's fields of two layers; `descriptor` is None where the fields are not a message's."""
    entries = dict(lower.entries)
    keys = {**lower.keys, **upper.keys}
    for key, value in upper.entries.items():
        if descriptor is not None:
            for sibling in oneof_siblings(descriptor, key):
                if sibling not in upper.entries:  # two in one layer are a mistake for `Filler` to tell
                    entries.pop(sibling, None)
        if isinstance(value, Scalar) and value.is_null:
            entries.pop(key, None)
            continue
        below = entries.get(key)
        entries[key] = value if below is None else _merge_value(below, value, key, _message_of(descriptor, key))
    return Mapping(entries, upper.place, keys)


def oneof_siblings(descriptor: Descriptor, name: str) -> list[str]:
    """Return the other members of the oneof that a field belongs to."""
    member = descriptor.fields_by_name.get(name)
    if member is None or member.containing_oneof is None:
        return []
    return [other.name for other in member.containing_oneof.fields if other.name != name]


def _message_of(descriptor: Descriptor | None, key: str) -> Descriptor | None:
    member = descriptor.fields_by_name.get(key) if descriptor is not None else None
    return member.message_type if member is not None else None


def _merge_value(lower: Node, upper: Node, key: str, descriptor: Descriptor | None) -> Node:
    if isinstance(lower, Mapping) and isinstance(upper, Mapping):
        return merge_message(lower, upper, descriptor)
    if key in NAMED_LISTS and isinstance(lower, Sequence) and isinstance(upper, Sequence):
        return _merge_named(lower, upper, NAMED_LISTS[key], descriptor)
    return upper


def _merge_named(lower: Sequence, upper: Sequence, name_field: str, descriptor: Descriptor | None) -> Sequence:
    items = list(lower.items)
    position = {_name_of(item, name_field): index for index, item in enumerate(items)}
    for item in upper.items:
        name = _name_of(item, name_field)
        index = position.get(name) if name is not None else None
        below = items[index] if index is not None else None
        if index is not None and isinstance(below, Mapping) and isinstance(item, Mapping):
            items[index] = merge_message(below, item, descriptor)
        else:
            items.append(item)
    return Sequence(items, upper.place)


def _name_of(item: Node, name_field: str) -> str | None:
    name = item.entries.get(name_field) if isinstance(item, Mapping) else None
    return name.text if isinstance(name, Scalar) else None
