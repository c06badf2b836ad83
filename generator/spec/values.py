"""The kinds of value in a spec's own keys; what is not of its kind becomes a finding."""

from __future__ import annotations

from collections.abc import Collection

from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.suggest import did_you_mean


class Values:
    """Takes values out of trees and collects `findings`; `key` is always the dotted path of the value itself."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def mapping(self, parent: tree.Mapping, name: str, key: str) -> tree.Mapping:
        """Return a key's mapping, an empty one where it is not given."""
        node = parent.entries.get(name)
        if isinstance(node, tree.Mapping):
            return node
        if node is not None and not (isinstance(node, tree.Scalar) and not node.is_given):
            self.error(f"expected a mapping, got {tree.kind_of(node)}", node.place, key)
        return tree.Mapping({}, parent.place)

    def texts(self, parent: tree.Mapping, name: str, key: str) -> dict[str, str]:
        """Return a key's mapping of words to words."""
        node = self.mapping(parent, name, key)
        return {item: self.text(node, item, f"{key}.{item}") for item in node.entries}

    def names(self, parent: tree.Mapping, name: str, key: str) -> tuple[str, ...]:
        """Return a key's list of words, an empty one where it is not given."""
        node = parent.entries.get(name)
        if node is None:
            return ()
        if not isinstance(node, tree.Sequence):
            self.error(f"expected a list of names, got {tree.kind_of(node)}", node.place, key, f"{name}: [...]")
            return ()
        words = (self.word(item, f"{key}[{index}]") for index, item in enumerate(node.items))
        return tuple(word for word in words if word)

    def text(self, parent: tree.Mapping, name: str, key: str) -> str:
        """Return a key's word, empty where it is not given."""
        node = parent.entries.get(name)
        return "" if node is None else self.word(node, key)

    def word(self, node: tree.Node, key: str) -> str:
        """Return a node's word, empty where it is none."""
        if isinstance(node, tree.Scalar):
            if node.is_given and node.text:
                return node.text
            shown = "an empty text" if node.is_given else "nothing"
        else:
            shown = tree.kind_of(node)
        self.error(f"expected a value, got {shown}", node.place, key)
        return ""

    def refuse_unknown(self, node: tree.Mapping, known: Collection[str], prefix: str) -> None:
        """Add a finding for every key of ours that does not exist."""
        for key in node.entries:
            if key not in known:
                suggestion = did_you_mean(key, known)
                hint = "" if suggestion else f"known are {', '.join(known)}"
                self.error(f"unknown key '{key}'.{suggestion}", node.place_of(key), f"{prefix}{key}", hint)

    def error(self, message: str, place: Place, key: str, remedy: str = "") -> None:
        """Add a finding."""
        self.findings.append(error(message, place, key=key, remedy=remedy))
