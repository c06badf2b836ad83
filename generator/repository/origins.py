"""Where each field of a config.pbtxt was written, under the dotted paths that a spec's fields have.

protobuf's own parser keeps no positions of fields, so the text, once it has parsed, is walked a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import Place

_TOKEN = re.compile(r"""(?P<skip>\s+|\#[^\n]*)|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[\w.+-]+|.""", re.DOTALL)
_CLOSING = "}>"
_DESCRIPTOR: Descriptor = ModelConfig.DESCRIPTOR


@dataclass(frozen=True)
class Origins(Mapping[str, Place]):
    """`find_origins` of a text, walked when the first place is asked for: most configurations have no finding."""

    text: str
    file: str

    @cached_property
    def _found(self) -> dict[str, Place]:
        return {"": Place(self.file), **find_origins(self.text, self.file)}

    def __getitem__(self, path: str) -> Place:
        return self._found[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def find_origins(text: str, file: str) -> dict[str, Place]:
    """Return the place of every field by its path, e.g. `dynamic_batching.preferred_batch_size` or `input[0].dims`.

    The text must parse; entries of maps stand under their key, as in `parameters.side`.
    """
    walk = _Walk(_tokens(text), file, {})
    walk.message(_DESCRIPTOR, "")
    return walk.origins


def _tokens(text: str) -> list[tuple[str, int, int]]:
    """Return (token, line, column), comments and blanks left out."""
    found = []
    line, line_start = 1, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match["skip"] is None:
            found.append((token, line, match.start() - line_start + 1))
        breaks = token.count("\n")
        if breaks:
            line += breaks
            line_start = match.start() + token.rindex("\n") + 1
    return found


@dataclass
class _Walk:
    """A walk over the tokens of a text that is known to parse."""

    tokens: list[tuple[str, int, int]]
    file: str
    origins: dict[str, Place]
    at: int = 0

    def message(self, descriptor: Descriptor, prefix: str) -> None:
        """Walk to the end of a message, or of the text."""
        counts: dict[str, int] = {}
        while self._peek() not in ("", *_CLOSING):
            name, line, column = self.tokens[self.at]
            self.at += 1
            if name in ",;":
                continue
            place = Place(self.file, line, column)
            self.origins.setdefault(f"{prefix}{name}", place)
            if self._peek() == ":":
                self.at += 1
            self._values(descriptor.fields_by_name[name], f"{prefix}{name}", place, counts)

    def _values(self, field: FieldDescriptor, path: str, place: Place, counts: dict[str, int]) -> None:
        """Walk over one value or a list of values in brackets."""
        if self._peek() != "[":
            self._value(field, path, place, counts)
            return
        self.at += 1
        while self._peek() not in ("", "]"):
            if self._peek() == ",":
                self.at += 1
                continue
            _, line, column = self.tokens[self.at]
            self._value(field, path, Place(self.file, line, column), counts)
        self.at += 1

    def _value(self, field: FieldDescriptor, path: str, place: Place, counts: dict[str, int]) -> None:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            path = self._map_path(path)
            self.origins[path] = place
            self._map_entry(message, path)
            return
        if field.is_repeated:
            index = counts[path] = counts.get(path, -1) + 1
            path = f"{path}[{index}]"
            self.origins[path] = place
        self.at += 1
        if message is not None:
            self.message(message, f"{path}.")
            self.at += 1
        while self._peek()[:1] in ("'", '"') and message is None:  # "a string" "goes on"
            self.at += 1

    def _map_path(self, path: str) -> str:
        """Return the path of the map entry that opens here: its key is looked for inside."""
        end = self.at + 1
        while end < len(self.tokens) and self.tokens[end][0] != "key":
            end += 1
        value = next((part for part, _, _ in self.tokens[end + 1 : end + 3] if part != ":"), "")
        return f"{path}.{value.strip(chr(34) + chr(39))}"

    def _map_entry(self, message: Descriptor, path: str) -> None:
        """Walk over `{ key: ... value ... }`; the value's fields stand directly under the entry."""
        self.at += 1
        inner = _Walk(self.tokens, self.file, {}, self.at)
        inner.message(message, "")
        self.at = inner.at + 1
        for name, place in inner.origins.items():
            if name.startswith("value."):
                self.origins[f"{path}{name.removeprefix('value')}"] = place

    def _peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""
