"""Data written as YAML that every reader takes alike: blocks, no aliases, and no text that reads as something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

# YAML 1.2's numbers and 1.1's single letters, which PyYAML writes bare and Go's readers do not take for text.
_NO_TEXT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+|[yYnN]")


def to_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return documents as YAML, keys in their order."""
    return yaml.dump_all(
        documents, Dumper=BlockDumper, sort_keys=False, width=120, allow_unicode=True, explicit_start=True
    )


class BlockDumper(yaml.SafeDumper):
    """Writes scripts as blocks, and lists below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Never write a list at the indentation of its key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Never write `*id001` for what is used twice."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else "'" if _NO_TEXT.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


BlockDumper.add_representer(str, _text)
