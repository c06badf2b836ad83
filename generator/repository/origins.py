"""Where each field of a config.pbtxt was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository.spans import find_spans
from tritonsmith.generator.repository.tokens import Tokens


@dataclass(frozen=True)
class Origins(Mapping[str, Place]):
    """The place of every field of a text by its path, and under "" the file's own.

    The text, which must parse, is walked when the first place is asked for: most configurations have no finding.
    """

    text: str
    file: str

    @cached_property
    def _starts(self) -> dict[str, int]:
        """Where each field begins: numbers alone, as there may be many."""
        spans = find_spans(Tokens(self.text))
        return {path: (found[-1] if found[-1].is_entry else found[0]).start for path, found in spans.items()}

    @cached_property
    def _lines(self) -> Tokens:
        return Tokens(self.text)

    def __getitem__(self, path: str) -> Place:
        return Place(self.file, *self._lines.place_at(self._starts[path])) if path else Place(self.file)

    def __contains__(self, path: object) -> bool:
        return path in self._starts or path == ""

    def __iter__(self) -> Iterator[str]:
        return iter(["", *self._starts])

    def __len__(self) -> int:
        return 1 + len(self._starts)
