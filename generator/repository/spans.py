"""From where to where each field of a config.pbtxt reaches, under the dotted paths that a spec's fields have.

The parser keeps no positions, as most texts have no finding: of one that has, the tokens are walked a second time.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.repository.fields import Field, fields_of
from tritonsmith.generator.repository.scalars import unescape
from tritonsmith.generator.repository.tokens import END, Tokens

_CLOSING = ("}", ">", END)


class Span(NamedTuple):
    """Where a field stands in the text: from its name, or from its value in brackets, to the end of its value.

    `body` is what stands between the braces of a message.
    """

    start: int
    value: int
    end: int
    body: tuple[int, int] | None = None
    is_item: bool = False  # one of several in brackets
    is_entry: bool = False  # one of a map: of two with one key the last stays


def find_spans(tokens: Tokens) -> dict[str, list[Span]]:
    """Return the spans of every field by its path, e.g. `dynamic_batching.preferred_batch_size` or `input[0].dims`.

    A repeated field that is written several times has several. Entries of maps stand under their key, as in
    `parameters.side`. The text must parse.
    """
    walk = _Walk(tokens.words, tokens.starts)
    walk.message(fields_of(ModelConfig.DESCRIPTOR), "")
    return walk.spans


@dataclass
class _Walk:
    words: list[str]
    starts: list[int]
    at: int = 0
    spans: dict[str, list[Span]] = field(default_factory=dict)

    def message(self, fields: dict[str, Field], prefix: str) -> None:
        """Walk to the end of a message, or of the text."""
        words = self.words
        counts: dict[str, int] = {}
        while words[self.at] not in _CLOSING:
            known = fields.get(words[self.at])
            if known is None:
                return
            self._field(known, f"{prefix}{known.name}", counts)
            if words[self.at] in (",", ";"):
                self.at += 1

    def _field(self, known: Field, path: str, counts: dict[str, int]) -> None:
        words, start, body = self.words, self.starts[self.at], None
        self.at += 1
        if words[self.at] == ":":
            self.at += 1
        value = self.starts[self.at]
        if known.is_repeated and words[self.at] == "[":
            self.at += 1
            while words[self.at] not in ("]", END):
                self._value(known, path, None, counts)
                if words[self.at] == ",":
                    self.at += 1
            self.at += 1
        else:
            body = self._value(known, path, start, counts)
        self._add(path, Span(start, value, self._end(), None if known.is_repeated else body))

    def _value(self, known: Field, path: str, start: int | None, counts: dict[str, int]) -> tuple[int, int] | None:
        """Walk over one value and return its body; `start` is None in brackets."""
        value = self.starts[self.at]
        begin, is_item = (value, True) if start is None else (start, False)
        if known.is_map:
            self._entry(known, path, begin, value, is_item=is_item)
            return None
        inner = path
        if known.is_repeated:
            counts[path] = counts.get(path, -1) + 1
            inner = f"{path}[{counts[path]}]"
        body = self._body(known, f"{inner}.")
        if known.is_repeated:
            self._add(inner, Span(begin, value, self._end(), body, is_item))
        return body

    def _entry(self, known: Field, path: str, begin: int, value: int, *, is_item: bool) -> None:
        """Walk over `{ key: ... value ... }`; the value's fields stand directly under the entry."""
        inner = _Walk(self.words, self.starts, self.at)
        body = inner._body(known, "")
        self.at = inner.at
        path = f"{path}.{inner.key()}"
        self._add(path, Span(begin, value, self._end(), body, is_item, is_entry=True))
        for name, spans in inner.spans.items():
            if name.startswith("value."):
                self.spans[f"{path}{name.removeprefix('value')}"] = spans

    def key(self) -> str:
        """Return the key of an entry that was walked over, empty where it has none."""
        span = self.spans["key"][0] if "key" in self.spans else Span(0, 0, 0)
        parts = self.words[bisect_left(self.starts, span.value) : bisect_left(self.starts, span.end)]
        return "".join(unescape(part[1:-1]) if part[0] in "'\"" else part for part in parts)

    def _body(self, known: Field, prefix: str) -> tuple[int, int] | None:
        """Walk over `{ ... }`, or over a scalar, which has no body."""
        words = self.words
        if known.kind != "message":
            self.at += 1 + (words[self.at] == "-")
            while words[self.at][:1] in ("'", '"') and words[self.at - 1][:1] in ("'", '"'):
                self.at += 1
            return None
        self.at += 1
        opened = self._end()
        self.message(known.fields, prefix)
        closed = self.starts[self.at]
        self.at += 1
        return opened, closed

    def _add(self, path: str, span: Span) -> None:
        self.spans.setdefault(path, []).append(span)

    def _end(self) -> int:
        """Return where the token before this one ends."""
        return self.starts[self.at - 1] + len(self.words[self.at - 1])
