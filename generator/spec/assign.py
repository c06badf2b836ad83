"""Set one field of a configuration by its dotted path, as `--vary` and `tune: vary:` name it."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.message import Filler, descriptor_of


def assign(message: Message, path: Sequence[str], value: tree.Node) -> list[Finding]:
    """Set one field, in a list of every entry (of a new one where it is empty); return what is wrong with that.

    A field with fields of its own takes null, which leaves it out, and {}, which gives it where it is not there.
    """
    name, *rest = path
    member = descriptor_of(message).fields_by_name.get(name)
    part = member.message_type if member is not None else None
    if member is None or part is None or part.GetOptions().map_entry:
        return _fill(
            message, name, _below(rest, value), is_list=member is not None and part is None and member.is_repeated
        )
    if rest:
        inner = getattr(message, name)
        entries = (inner or [inner.add()]) if member.is_repeated else [inner]
        return [wrong for entry in entries for wrong in assign(entry, rest, value)]
    is_left_out = isinstance(value, tree.Scalar) and value.is_null
    if member.is_repeated or not (is_left_out or (isinstance(value, tree.Mapping) and not value.entries)):
        hint = f"vary one of them: {', '.join(part.fields_by_name)}"
        return [error(f"'{name}' has fields of its own", value.place, remedy=hint)]
    if is_left_out:
        message.ClearField(name)
    else:
        getattr(message, name).SetInParent()
    return []


def _fill(message: Message, name: str, value: tree.Node, *, is_list: bool = False) -> list[Finding]:
    if is_list:
        message.ClearField(name)
        value = value if isinstance(value, tree.Sequence) else tree.Sequence([value], value.place)
    findings: list[Finding] = []
    Filler(findings).fill(message, tree.Mapping({name: value}, value.place), key="")
    return findings


def _below(path: Sequence[str], value: tree.Node) -> tree.Node:
    """Return the value below the path, as a spec would have it."""
    for name in reversed(path):
        value = tree.Mapping({name: value}, value.place)
    return value
