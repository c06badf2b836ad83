"""A spec's tree as a protobuf message: every field under its own name, every mistake with its place.

The message's descriptor says what a field is, so a field that a newer tritonclient brings is understood without a
line of ours.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping as MappingABC
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.spec.tree import Mapping, Node, Scalar, Sequence, kind_of
from tritonsmith.generator.suggest import did_you_mean

M = TypeVar("M", bound=Message)

_FLOATS = {FieldDescriptor.CPPTYPE_DOUBLE: sys.float_info.max, FieldDescriptor.CPPTYPE_FLOAT: 3.4028234e38}
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_BOOLS = {"true": True, "false": False}


class Filler:
    """Fills messages from trees; collects `findings` and, in `origins`, where each dotted field path was written."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.origins: dict[str, Place] = {}
        self._prefix = ""

    def fill(self, message: M, tree: Mapping, *, key: str) -> M:
        """Fill `message` and return it; `key` is the dotted path that findings name, e.g. models.digits."""
        self._prefix = f"{key}."
        self.origins = {}
        self._message(message, tree, key)
        return message

    def _message(self, message: Message, tree: Mapping, key: str) -> None:
        descriptor = descriptor_of(message)
        fields = _fields(descriptor)
        self._refuse_two_of_one(descriptor, tree, key)
        for name, node in tree.entries.items():
            place = tree.place_of(name)
            path = f"{key}.{name}"
            member = fields.get(name)
            if member is None:
                self._error(f"unknown field '{name}' of {descriptor.name}.{did_you_mean(name, fields)}", place, path)
                continue
            self.origins[path.removeprefix(self._prefix)] = place
            self._field(message, member, node, path)

    def _field(self, message: Message, member: FieldDescriptor, node: Node, key: str) -> None:
        if isinstance(node, Scalar) and node.is_null:
            return
        if isinstance(node, Scalar) and node.is_empty:
            what = "write {} for an empty message, or null" if member.message_type is not None else "write null"
            self._error("no value is given", node.place, key, f"{what} to leave it out")
        elif _is_map(member):
            self._map(message, member, node, key)
        elif member.is_repeated:
            self._list(message, member, node, key)
        elif member.message_type is not None:
            part = getattr(message, member.name)
            part.SetInParent()
            self._part(part, node, key)
        else:
            value = self._scalar(member, node, key)
            if value is not None:
                setattr(message, member.name, value)

    def _list(self, message: Message, member: FieldDescriptor, node: Node, key: str) -> None:
        if not isinstance(node, Sequence):
            self._error(f"expected a list, got {kind_of(node)}", node.place, key, f"{member.name}: [...]")
            return
        items = getattr(message, member.name)
        for index, item in enumerate(node.items):
            item_key = f"{key}[{index}]"
            self.origins[item_key.removeprefix(self._prefix)] = item.place
            if member.message_type is not None:
                self._part(items.add(), item, item_key)
            else:
                value = self._scalar(member, item, item_key)
                if value is not None:
                    items.append(value)

    def _map(self, message: Message, member: FieldDescriptor, node: Node, key: str) -> None:
        if not isinstance(node, Mapping):
            self._error(f"expected a mapping, got {kind_of(node)}", node.place, key, f"{member.name}: {{key: value}}")
            return
        assert member.message_type is not None
        key_field, value_field = (member.message_type.fields_by_name[part] for part in ("key", "value"))
        items = getattr(message, member.name)
        for name, item in node.without_nulls().entries.items():
            item_key = f"{key}.{name}"
            self.origins[item_key.removeprefix(self._prefix)] = node.place_of(name)
            index = self._scalar(key_field, Scalar(name, node.place_of(name)), item_key)
            if index is None:
                continue
            if value_field.message_type is not None:
                self._entry(items[index], item, item_key)
            elif (value := self._scalar(value_field, item, item_key)) is not None:
                items[index] = value

    def _entry(self, message: Message, node: Node, key: str) -> None:
        """Fill a map's message; a ModelParameter may be written as its text alone."""
        if isinstance(node, Scalar) and node.is_given and message.DESCRIPTOR.name == "ModelParameter":
            message.SetInParent()
            setattr(message, "string_value", node.text)  # noqa: B010 - the text as written: 0.50 stays 0.50
            return
        self._part(message, node, key)

    def _part(self, message: Message, node: Node, key: str) -> None:
        if isinstance(node, Mapping):
            self._message(message, node, key)
        elif isinstance(node, Scalar) and not node.is_given:
            self._error("no value is given", node.place, key, "write {} for an empty message")
        else:
            self._error(f"expected a mapping, got {kind_of(node)}", node.place, key, _example(descriptor_of(message)))

    def _scalar(self, member: FieldDescriptor, node: Node, key: str) -> Any:
        if not isinstance(node, Scalar):
            self._error(f"expected one value, got {kind_of(node)}", node.place, key)
            return None
        if not node.is_given:
            self._error("no value is given", node.place, key, "leave the item out, or quote a word: 'null'")
            return None
        try:
            return _parse(member, node)
        except ValueError as problem:
            self._error(str(problem), node.place, key)
            return None

    def _refuse_two_of_one(self, descriptor: Descriptor, tree: Mapping, key: str) -> None:
        for oneof in descriptor.oneofs:
            fields = tree.without_nulls().entries
            given = [member.name for member in oneof.fields if member.name in fields]
            if len(given) > 1:
                first, second = given[0], given[1]
                message = f"'{second}' excludes '{first}' (line {tree.place_of(first).line}): give one of them"
                self._error(message, tree.place_of(second), f"{key}.{second}")

    def _error(self, message: str, place: Place, key: str, remedy: str = "") -> None:
        self.findings.append(error(message, place, key=key, remedy=remedy))


def descriptor_of(message: Message) -> Descriptor:
    """Return a message's descriptor (protobuf's own stubs leave open which implementation it is of)."""
    return cast(Descriptor, message.DESCRIPTOR)


@functools.cache
def _fields(descriptor: Descriptor) -> MappingABC[str, FieldDescriptor]:
    return dict(descriptor.fields_by_name)


def _is_map(member: FieldDescriptor) -> bool:
    return member.message_type is not None and bool(member.message_type.GetOptions().map_entry)


def _parse(member: FieldDescriptor, node: Scalar) -> Any:
    """Return a scalar as its field's type.

    Raises: ValueError with a message for the user.
    """
    text = node.text
    kind = member.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return text.encode() if member.type == FieldDescriptor.TYPE_BYTES else text
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if text.lower() not in _BOOLS:
            raise ValueError(f"expected true or false, got '{text}'")
        return _BOOLS[text.lower()]
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _parse_enum(member, text)
    if kind in _FLOATS:
        return _parse_float(text, _FLOATS[kind])
    return _parse_int(node, *_RANGES[kind])


def _parse_enum(member: FieldDescriptor, text: str) -> int:
    assert member.enum_type is not None
    values = member.enum_type.values_by_name
    if text in values:
        return values[text].number
    exact = next((name for name in values if name.partition("_")[2] == text.upper() or name == text.upper()), "")
    suggestion = f" Did you mean '{exact}'?" if exact else did_you_mean(text, values)
    raise ValueError(f"unknown {member.enum_type.name} '{text}'.{suggestion}")


def _parse_int(node: Scalar, least: int, most: int) -> int:
    value = node.whole_number
    if value is None:
        raise ValueError(f"expected a whole number, got '{node.text}'")
    if not least <= value <= most:
        raise ValueError(f"{value} is out of range: from {least} to {most}")
    return value


def _parse_float(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"expected a number, got '{text}'") from None
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got '{text}'")
    if abs(value) > most:
        raise ValueError(f"{text} is out of range: from {-most:g} to {most:g}")
    return value


def _example(descriptor: Descriptor) -> str:
    names = ", ".join(f"{name}: ..." for name in list(descriptor.fields_by_name)[:2])
    return f"{{{names}}}" if names else "{}"
