"""From where to where each field of a config.pbtxt reaches, under the paths of `origins`: what an edit must know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

_TOKEN = re.compile(r"""(?P<skip>\s+|\#[^\n]*)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[\w.+-]+|.""", re.DOTALL)
_CLOSING = "}>"


@dataclass(frozen=True)
class Span:
    """Where a field stands in the text: from its name, or from its value in brackets, to the end of its value.

    `body` is what stands between the braces of a message.
    """

    start: int
    value: int
    end: int
    body: tuple[int, int] | None = None
    is_item: bool = False  # one of several in brackets


def find_spans(text: str) -> dict[str, list[Span]]:
    """Return the spans of every field by its path; a repeated field that is written several times has several.

    The text must parse.
    """
    tokens = [(m[0], m.start(), m.end()) for m in _TOKEN.finditer(text) if m["skip"] is None]
    walk = _Walk(tokens)
    walk.message(ModelConfig.DESCRIPTOR, "")
    return walk.spans


@dataclass
class _Walk:
    tokens: list[tuple[str, int, int]]
    spans: dict[str, list[Span]] = field(default_factory=dict)
    at: int = 0

    def message(self, descriptor: Descriptor, prefix: str) -> None:
        """Walk to the end of a message, or of the text."""
        counts: dict[str, int] = {}
        while self._peek() not in ("", *_CLOSING):
            name, start, _ = self.tokens[self.at]
            self.at += 1
            if name in (",", ";"):
                continue
            if self._peek() == ":":
                self.at += 1
            self._values(descriptor.fields_by_name[name], f"{prefix}{name}", start, counts)

    def _values(self, member: FieldDescriptor, path: str, start: int, counts: dict[str, int]) -> None:
        value = self.tokens[self.at][1]
        if self._peek() != "[":
            body = self._value(member, path, start, counts)
        else:
            body = None
            self.at += 1
            while self._peek() not in ("", "]"):
                if self._peek() == ",":
                    self.at += 1
                else:
                    self._value(member, path, None, counts)
            self.at += 1
        if not _is_map(member):
            self._add(path, Span(start, value, self._end(), None if member.is_repeated else body))

    def _value(
        self, member: FieldDescriptor, path: str, start: int | None, counts: dict[str, int]
    ) -> tuple[int, int] | None:
        """Walk over one value and return its body; `start` is None in brackets."""
        value = self.tokens[self.at][1]
        inner = path
        if _is_map(member):
            inner = f"{path}.{self._key()}"
        elif member.is_repeated:
            counts[path] = counts.get(path, -1) + 1
            inner = f"{path}[{counts[path]}]"
        body = self._body(member, inner)
        if inner != path:
            begin = value if start is None else start
            self._add(inner, Span(begin, value, self._end(), body, is_item=start is None))
        return body

    def _body(self, member: FieldDescriptor, path: str) -> tuple[int, int] | None:
        opened = self.tokens[self.at][2]
        self.at += 1
        if member.message_type is None:
            while self._peek()[:1] in ("'", '"'):  # "a string" "goes on"
                self.at += 1
            return None
        if _is_map(member):
            entry = _Walk(self.tokens, {}, self.at)
            entry.message(member.message_type, "")
            self.at = entry.at
            for name, spans in entry.spans.items():
                if name.startswith("value."):
                    self.spans[f"{path}{name.removeprefix('value')}"] = spans
        else:
            self.message(member.message_type, f"{path}.")
        closed = self.tokens[self.at][1]
        self.at += 1
        return opened, closed

    def _key(self) -> str:
        """Return the key of the map entry that opens here."""
        end = self.at + 1
        while end < len(self.tokens) and self.tokens[end][0] != "key":
            end += 1
        value = next((part for part, _, _ in self.tokens[end + 1 : end + 3] if part != ":"), "")
        return value.strip("\"'")

    def _add(self, path: str, span: Span) -> None:
        self.spans.setdefault(path, []).append(span)

    def _end(self) -> int:
        return self.tokens[self.at - 1][2]

    def _peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""


def _is_map(member: FieldDescriptor) -> bool:
    return member.message_type is not None and member.message_type.GetOptions().map_entry
