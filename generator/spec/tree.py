"""YAML as a tree whose every value knows its file, line and column; scalars keep the text as written.

Read with libyaml through PyYAML's composer, which marks each node and builds no Python values: a field's own type
decides later what `24.10` or `on` means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error

MAX_NODES = 2_000_000  # after aliases are expanded; 1,000 models with dozens of fields each are below 100,000
MAX_DEPTH = 64
MAX_BYTES = 64 * 1024 * 1024

_MERGE_TAG = "tag:yaml.org,2002:merge"  # the key <<
# Not 010, which is 8 to YAML 1.1 and 10 to YAML 1.2; a hundred digits are read, so that they are told as out of range.
_WHOLE_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,99})")


@dataclass(slots=True)
class Scalar:
    """A scalar: its text, and whether it was quoted (a quoted 'null' is a word)."""

    text: str
    place: Place
    is_quoted: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it deletes what a lower layer set."""
        return not self.is_quoted and self.text in ("null", "~", "Null", "NULL")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written at all."""
        return not self.is_quoted and not self.text

    @property
    def is_given(self) -> bool:
        """Whether it holds a value: neither null nor nothing."""
        return not self.is_null and not self.is_empty

    @property
    def whole_number(self) -> int | None:
        """Its value, None where it is no whole number that every reader of YAML understands alike."""
        return int(self.text) if _WHOLE_NUMBER.fullmatch(self.text) else None


@dataclass(slots=True)
class Sequence:
    """A list."""

    items: list[Node]
    place: Place


@dataclass(slots=True)
class Mapping:
    """A mapping; `keys` holds where each key was written."""

    entries: dict[str, Node]
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)

    def place_of(self, key: str) -> Place:
        """Return where a key was written, or the mapping itself."""
        return self.keys.get(key, self.place)

    def without_nulls(self) -> Mapping:
        """Return the mapping without the keys that are null: nothing is left that they could delete."""
        given = {key: node for key, node in self.entries.items() if not (isinstance(node, Scalar) and node.is_null)}
        return Mapping(given, self.place, self.keys)


Node = Scalar | Sequence | Mapping


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader, with a limit on depth: its composer is recursive C and would overflow the stack.

    It calls `descend_resolver` and `ascend_resolver` around every node.
    """

    _depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, current_index: Any) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            where = f" in line {current_node.start_mark.line + 1}" if current_node else ""
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels{where}")

    def ascend_resolver(self) -> None:
        self._depth -= 1


def read_text(path: Path) -> str:
    """Return a spec's text.

    Raises: SpecError where the file cannot be read, is too big, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as problem:
        hint = {
            FileNotFoundError: "tritonsmith init writes one",
            IsADirectoryError: "name the spec in it, or with `tritonsmith check` a model repository",
        }.get(type(problem), "")
        raise SpecError(f"cannot read the spec: {problem.strerror}", where=str(path), hint=hint) from None
    if len(raw) > MAX_BYTES:
        raise SpecError(f"the spec is larger than {MAX_BYTES >> 20} MiB", where=str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        hint = "save it as UTF-8"
        raise SpecError(f"not UTF-8 (byte {problem.start})", where=f"{path}:{line}", hint=hint) from None


def parse_tree(text: str, name: str, findings: list[Finding]) -> Mapping:
    """Return the mapping that a YAML text holds; duplicate keys are added to `findings`.

    Raises: SpecError where it is no YAML, is no mapping, or explodes when aliases are expanded.
    """
    with _told_as_spec_errors(text, name):
        root = yaml.compose(text, Loader=_Loader)
    if root is None:
        return Mapping({}, Place(name, 1, 1))
    if not isinstance(root, yaml.MappingNode):
        raise SpecError("not a mapping (key: value)", where=f"{name}:{root.start_mark.line + 1}")
    _refuse_explosions(root, name)
    return _convert_mapping(root, name, findings)


def parse_documents(text: str, name: str, findings: list[Finding]) -> list[Node]:
    """Return the documents of a YAML text, empty ones left out; duplicate keys are added to `findings`.

    Raises: SpecError where it is no YAML, or explodes when aliases are expanded.
    """
    with _told_as_spec_errors(text, name):
        roots = [root for root in yaml.compose_all(text, Loader=_Loader) if root is not None]
    for root in roots:
        _refuse_explosions(root, name)
    documents = [_convert(root, name, findings) for root in roots]
    return [document for document in documents if not isinstance(document, Scalar) or document.is_given]


@contextmanager
def _told_as_spec_errors(text: str, name: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as problem:
        raise SpecError(f"not YAML: {_yaml_problem(problem)}", where=_marked(problem, name)) from None
    except yaml.reader.ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        raise SpecError(f"not YAML: {problem.reason} (#x{problem.character:04x})", where=f"{name}:{line}") from None
    except yaml.YAMLError as problem:
        raise SpecError(f"not YAML: {problem}", where=name) from None


def from_data(value: Any, place: Place) -> Node:
    """Return plain data (what a blueprint expands to) as a tree whose every value stands at `place`."""
    if isinstance(value, dict):
        return mapping_from_data(value, place)
    if isinstance(value, (list, tuple)):
        return Sequence([from_data(item, place) for item in value], place)
    if value is None:
        return Scalar("null", place)
    if isinstance(value, bool):
        return Scalar("true" if value else "false", place)
    return Scalar(str(value), place, is_quoted=isinstance(value, str))


def mapping_from_data(values: dict[str, Any], place: Place) -> Mapping:
    """Return plain data that is a mapping as a tree; see `from_data`."""
    return Mapping({str(key): from_data(value, place) for key, value in values.items()}, place)


def to_data(node: Node) -> Any:
    """Return a tree as plain data; scalars stay text, null becomes None."""
    if isinstance(node, Mapping):
        return {key: to_data(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [to_data(item) for item in node.items]
    return None if node.is_null or node.is_empty else node.text


def kind_of(node: Node) -> str:
    """Return what a node is, in words for a message."""
    if isinstance(node, Mapping):
        return "a mapping"
    return "a list" if isinstance(node, Sequence) else f"'{node.text}'"


def _convert(node: yaml.Node, name: str, findings: list[Finding]) -> Node:
    mark = node.start_mark
    place = Place(name, mark.line + 1, mark.column + 1)
    if isinstance(node, yaml.ScalarNode):
        return Scalar(node.value, place, bool(node.style))
    if isinstance(node, yaml.SequenceNode):
        return Sequence([_convert(item, name, findings) for item in node.value], place)
    return _convert_mapping(node, name, findings)


def _convert_mapping(node: yaml.Node, name: str, findings: list[Finding]) -> Mapping:
    place = Place(name, node.start_mark.line + 1, node.start_mark.column + 1)
    entries: dict[str, Node] = {}
    keys: dict[str, Place] = {}
    merged: list[Mapping] = []
    for key_node, value_node in node.value:
        key_place = Place(name, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
        if not isinstance(key, str) or not isinstance(key_node, yaml.ScalarNode):
            findings.append(error("a key must be a word", key_place))
        elif key_node.tag == _MERGE_TAG:
            merged += _merged(_convert(value_node, name, findings), findings)
        elif key in entries:
            findings.append(error(f"key '{key}' is given twice, first in line {keys[key].line}", key_place, key=key))
        else:
            entries[key] = _convert(value_node, name, findings)
            keys[key] = key_place
    for other in merged:  # what is written beside << goes before, the first of several before the others
        entries = {**other.entries, **entries}
        keys = {**other.keys, **keys}
    return Mapping(entries, place, keys)


def _merged(node: Node, findings: list[Finding]) -> list[Mapping]:
    """Return the mappings that a merge key (<<) names. Source: https://yaml.org/type/merge.html."""
    nodes = node.items if isinstance(node, Sequence) else [node]
    wrong = [other for other in nodes if not isinstance(other, Mapping)]
    findings.extend(error(f"<< merges mappings, got {kind_of(other)}", other.place, key="<<") for other in wrong)
    return [other for other in nodes if isinstance(other, Mapping)]


def _refuse_explosions(root: yaml.Node, name: str) -> None:
    """Raise SpecError where aliases would expand to too many nodes or never end (a "YAML bomb")."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        known = sizes.get(id(node))
        if known is not None:
            return known
        where = f"{name}:{node.start_mark.line + 1}"
        if id(node) in open_nodes:
            raise SpecError("an alias contains itself", where=where)
        open_nodes.add(id(node))
        total = 1 + sum(size(child) for child in _children(node))
        open_nodes.discard(id(node))
        if total > MAX_NODES:
            raise SpecError(f"aliases expand to more than {MAX_NODES:,} values", where=where)
        sizes[id(node)] = total
        return total

    size(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value:
        if isinstance(child, tuple):
            yield from child
        else:
            yield child


def _yaml_problem(problem: yaml.MarkedYAMLError) -> str:
    return " ".join(str(part) for part in (problem.context, problem.problem) if part)


def _marked(problem: yaml.MarkedYAMLError, name: str) -> str:
    mark = problem.problem_mark or problem.context_mark
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
