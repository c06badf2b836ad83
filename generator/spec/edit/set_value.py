"""Set one value in a YAML text; every other character stays. Not with ruamel.yaml, which lays lists out anew.

A value that stands in the text is exchanged where it stands. One that does not is added: behind its siblings, in their
style. One that comes from an alias or a merge key is written out in its own place, so that nothing else changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from tritonsmith.generator.spec.edit import marks

KeyPath = tuple[str | int, ...]
_PLAIN = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+-]*")
_COMMENT = re.compile(r"(?:^|\s)#[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NO_WORD = {"", "null", "~", "Null", "NULL", "-", "---", "..."}
_INDENT = 2
_BESIDE_DEPTH = 2  # from here on new mappings stand in braces: models and their names have lines of their own


class Written(str):
    """A scalar as it is to stand in the text, quotes included."""


def set_value(text: str, path: KeyPath, value: Any, *, lacking: Any = None) -> str:
    """Return the text with `value` (plain data; None is null) at a path of keys and list indices.

    `lacking` is the whole value of the first list of the path, written where that list does not stand in the text.
    """
    root = marks.compose(text)
    node: yaml.Node = root
    for depth, part in enumerate(path):
        rest = path[depth + 1 :]
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found: yaml.Node | None = node.value[part]
            start, key = None, None
        elif isinstance(node, yaml.MappingNode):
            pair = marks.entry(node, str(part))
            if pair is None:
                new = _with(_data(marks.inherited(node, str(part)), text), rest, value, lacking)
                return _added(text, root, node, path[: depth + 1], new)
            key, found = pair
            start = key.end_mark.index
        else:
            raise ValueError(f"nothing at {path[: depth + 1]}")
        assert found is not None
        if not rest or not _holds(found, rest[0]):
            new = _with(_data(found, text), rest, value, lacking)
            return _exchanged(text, found, start, new)
        node = found
    raise ValueError("an empty path")


def render(value: Any) -> str:
    """Return plain data as YAML in one line."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{render(str(key))}: {render(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(render, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    is_word = _PLAIN.fullmatch(text) and text not in _NO_WORD and not text.startswith("- ")
    return text if is_word else json.dumps(text, ensure_ascii=False)


def _holds(node: yaml.Node, part: str | int) -> bool:
    """Whether a part of a path may stand in a node itself."""
    if isinstance(part, int):
        return isinstance(node, yaml.SequenceNode) and part < len(node.value)
    return isinstance(node, yaml.MappingNode)


def _with(data: Any, rest: KeyPath, value: Any, lacking: Any) -> Any:
    """Return the data of what stood there, with the value at the rest of the path."""
    if not rest:
        return value
    part, *below = rest
    if isinstance(part, int):
        if not isinstance(data, list) or part >= len(data):
            return lacking
        return [_with(item, tuple(below), value, lacking) if i == part else item for i, item in enumerate(data)]
    kept = data if isinstance(data, dict) else {}
    return {**kept, part: _with(kept.get(part), tuple(below), value, lacking)}


def _data(node: yaml.Node | None, text: str) -> Any:
    """Return what a node holds as plain data, merge keys and aliases written out, scalars as they were written."""
    node = marks.written(node) if node is not None else None
    if node is None:
        return None
    if isinstance(node, yaml.SequenceNode):
        return [_data(item, text) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        keys = _all_keys(node)
        pairs = ((key, marks.entry(node, key)) for key in keys)
        return {key: _data(pair[1] if pair else marks.inherited(node, key), text) for key, pair in pairs}
    assert isinstance(node, yaml.ScalarNode)
    shown = text[marks.value_start(node, text) : node.end_mark.index]
    is_simple = node.style not in ("|", ">") and "\n" not in shown and (node.style or not set(shown) & set(",[]{}"))
    return Written(shown if is_simple and shown else json.dumps(node.value, ensure_ascii=False) if shown else "null")


def _all_keys(node: yaml.MappingNode) -> list[str]:
    found: dict[str, None] = {}
    for key, value in node.value:
        if marks.entry(node, marks.written(key).value) is not None:
            found[marks.written(key).value] = None
            continue
        target = marks.written(value)
        for other in map(marks.written, target.value) if isinstance(target, yaml.SequenceNode) else [target]:
            found |= dict.fromkeys(_all_keys(other) if isinstance(other, yaml.MappingNode) else [])
    return list(found)


def _exchanged(text: str, node: yaml.Node, key_end: int | None, new: Any) -> str:
    """Return the text with a node's value exchanged; comments of a block go behind it."""
    start, end = marks.value_start(node, text), marks.end_of(node, text)
    between = text[key_end:start] if key_end is not None else ""
    if "\n" not in between:
        gap = " " if start == end and text[start - 1 : start] == ":" else ""  # a key without a value
        return text[:start] + gap + render(new) + text[end:]
    assert key_end is not None
    properties = "" if isinstance(node, marks.Alias) else text[node.start_mark.index : start].split("#")[0].strip()
    comments = _COMMENT.findall(between) + (_COMMENT.findall(text[start:end]) if _is_plain_list(node) else [])
    shown = ": " + " ".join([*properties.split(), render(new)]) + (f"  # {', '.join(comments)}" if comments else "")
    return text[:key_end] + shown + text[end:]


def _is_plain_list(node: yaml.Node) -> bool:
    """Whether a node is a list of words without quotes, in which every # begins a comment."""
    items = node.value if isinstance(node, yaml.SequenceNode) else [None]
    return all(isinstance(item, yaml.ScalarNode) and not item.style for item in items)


def _added(text: str, root: yaml.MappingNode, node: yaml.MappingNode, path: KeyPath, new: Any) -> str:
    key = render(str(path[-1]))
    if marks.is_flow(node):
        last = marks.end_of(node.value[-1][1], text) if node.value else node.end_mark.index - 1
        return text[:last] + (", " if node.value else "") + f"{key}: {render(new)}" + text[last:]
    column = node.value[0][0].start_mark.column if node.value else 0
    lines = _block(path[-1], new, column, depth=_depth(path))
    if node is root:
        return _added_at_top(text, root, lines)
    last = marks.end_of(node.value[-1][1], text)
    end = text.find("\n", last)
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{lines}{text[end:]}"


def _added_at_top(text: str, root: yaml.MappingNode, lines: str) -> str:
    """Add before `profiles`, with the comment that stands right above it, else at the end."""
    profiles = marks.entry(root, "profiles")
    if profiles is None:
        end = marks.end_of(root, text)
        rest = text[end:]
        if re.search(r"^(---|\.\.\.)", rest, re.MULTILINE):  # the end of the document is marked
            line = text.find("\n", end)
            return f"{text[:line]}\n{lines}{text[line:]}"
        return f"{text.rstrip()}\n{lines}\n" if text.endswith("\n") else f"{text}\n{lines}"
    above = text[: profiles[0].start_mark.index].splitlines(keepends=True)
    while above and above[-1].startswith("#"):
        above.pop()
    start = sum(map(len, above))
    return f"{text[:start]}{lines}\n\n{text[start:]}"


def _block(key: str | int, value: Any, column: int, *, depth: int) -> str:
    """Return a key and its value in lines of their own; deeper than models' names in braces."""
    head = f"{' ' * column}{render(str(key))}:"
    if not isinstance(value, dict) or not value or depth <= 0:
        return f"{head} {render(value)}"
    below = (_block(name, item, column + _INDENT, depth=depth - 1) for name, item in value.items())
    return "\n".join([head, *below])


def _depth(path: Sequence[str | int]) -> int:
    """Return how many levels below a new key have lines of their own."""
    inside = path[2:] if path[:1] == ("profiles",) else path
    return max(0, _BESIDE_DEPTH - (len(inside) - 1))
