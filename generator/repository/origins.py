"""Where each field of a config.pbtxt was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository.spans import Span, find_spans
from tritonsmith.generator.repository.tokens import Tokens


@dataclass(frozen=True)
class Origins(Mapping[str, Place]):
    """The place of every field of a text by its path, and under "" the file's own.

    The text, which must parse, is walked when the first place is asked for: most configurations have no finding.
    """

    text: str
    file: str

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self.text)

    @cached_property
    def _spans(self) -> dict[str, list[Span]]:
        return {"": [], **find_spans(self._tokens)}

    def __getitem__(self, path: str) -> Place:
        spans = self._spans[path]
        if not spans:
            return Place(self.file)
        counts = spans[-1] if spans[-1].is_entry else spans[0]
        return Place(self.file, *self._tokens.place_at(counts.start))

    def __contains__(self, path: object) -> bool:
        return path in self._spans

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)
