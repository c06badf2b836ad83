"""YAML as nodes that know where in the text they begin and end, aliases as they were written."""

from __future__ import annotations

import re
from typing import Any

import yaml

_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+(?:#[^\n]*\n\s*)*)*")  # anchor and tag before a value
_MERGE_TAG = "tag:yaml.org,2002:merge"


class Alias(yaml.Node):
    """An alias (*name) where it was written; `value` is the node that it stands for."""

    id = "alias"


class _Composer(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if not self.check_event(yaml.AliasEvent):
            node: yaml.Node | None = super().compose_node(parent, index)
            return node
        event = self.get_event()  # type: ignore[no-untyped-call]
        return Alias("", self.anchors[event.anchor], event.start_mark, event.end_mark)


def compose(text: str) -> yaml.MappingNode:
    """Return the nodes of a spec that was read before, so that it is YAML and a mapping."""
    loader = _Composer(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    assert isinstance(root, yaml.MappingNode)
    return root


def written(node: yaml.Node) -> yaml.Node:
    """Return the node itself, or what an alias stands for."""
    return node.value if isinstance(node, Alias) else node


def entry(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and the value that stand in a mapping itself, None where there is no such key."""
    return next(((k, v) for k, v in node.value if k.tag != _MERGE_TAG and written(k).value == key), None)


def inherited(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    """Return the value that a mapping has by a merge key (<<), None where it has none."""
    for merge in (value for name, value in node.value if name.tag == _MERGE_TAG):
        target = written(merge)
        for other in map(written, target.value) if isinstance(target, yaml.SequenceNode) else [target]:
            if isinstance(other, yaml.MappingNode):
                own = entry(other, key)
                found = own[1] if own else inherited(other, key)
                if found is not None:
                    return found
    return None


def is_flow(node: yaml.CollectionNode) -> bool:
    """Whether a mapping or list stands in braces or brackets."""
    return bool(node.flow_style)


def value_start(node: yaml.Node, text: str) -> int:
    """Return where a value begins, behind its anchor and tag."""
    start: int = node.start_mark.index
    match = _PROPERTIES.match(text, start)
    return match.end() if match and not isinstance(node, Alias) else start


def end_of(node: yaml.Node, text: str) -> int:
    """Return where a node's last character stands, without the comments and blank lines that follow.

    A block's own end mark is where the next token begins.
    """
    if isinstance(node, yaml.CollectionNode) and not is_flow(node) and node.value:
        last = node.value[-1]
        return end_of(last[1] if isinstance(last, tuple) else last, text)
    end: int = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return len(text[:end].rstrip("\n"))
    return end
