"""The fields of ModelConfig and its messages, as reading a config.pbtxt needs them: looked up once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

_RANGES: dict[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_BOOL: (0, 1),
}
_KINDS: dict[int, str] = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_MESSAGE: "message",
}


@dataclass(frozen=True)
class Field:
    """One field of a message: `kind` is string, bool, enum, float, int or message; `range` holds both bounds."""

    name: str
    kind: str
    is_repeated: bool
    is_map: bool
    has_presence: bool  # whether it counts as set also with the value that it has anyway: 0, "", false
    oneof: str
    range: tuple[int, int]
    descriptor: FieldDescriptor

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields of the message that it holds."""
        return fields_of(self.descriptor.message_type)

    @cached_property
    def values(self) -> dict[str, int]:
        """The names of its enum's values."""
        return {value.name: value.number for value in self.descriptor.enum_type.values}  # type: ignore[union-attr]

    @cached_property
    def new_entry(self) -> Any:
        """The class of a map's entries."""
        return GetMessageClass(self.descriptor.message_type)  # type: ignore[arg-type]


@cache
def fields_of(message: Descriptor) -> dict[str, Field]:
    """Return the fields of a message by name."""
    is_entry = message.GetOptions().map_entry
    return {field.name: _field(field, is_entry=is_entry) for field in message.fields}


def _field(field: FieldDescriptor, *, is_entry: bool) -> Field:
    inner = field.message_type
    return Field(
        field.name,
        _KINDS.get(field.cpp_type, "int"),
        field.is_repeated,
        bool(inner is not None and inner.GetOptions().map_entry),
        field.has_presence or is_entry,
        field.containing_oneof.name if field.containing_oneof else "",
        _RANGES.get(field.cpp_type, (0, 0)),
        field,
    )


@cache
def homes_of(root: Descriptor) -> dict[str, str]:
    """Return for each field's name the first message that has it, by its path from the root: `dynamic_batching`."""
    homes: dict[str, str] = {}
    waiting = [(root, "")]
    seen = {root.full_name}
    while waiting:
        message, path = waiting.pop(0)
        for field in message.fields:
            homes.setdefault(field.name, path)
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append((inner, f"{path}.{field.name}".lstrip(".")))
    return homes
