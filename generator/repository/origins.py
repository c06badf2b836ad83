"""Where each field of a config.pbtxt was written, under the dotted paths that a spec's fields have.

protobuf's own parser keeps no positions of fields, so the text, once it has parsed, is walked a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository import scalars
from tritonsmith.generator.repository.fields import Field, fields_of
from tritonsmith.generator.repository.tokens import END, Tokens

_CLOSING = ("}", ">", END)


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
    tokens = Tokens(text)
    walk = _Walk(tokens.words)
    walk.message(fields_of(ModelConfig.DESCRIPTOR), "")
    return {path: Place(file, *tokens.place(index)) for path, index in walk.found.items()}


@dataclass
class _Walk:
    """A walk over the tokens of a text that is known to parse: `found` has the token that begins each field."""

    words: list[str]
    at: int = 0
    found: dict[str, int] = field(default_factory=dict)

    def message(self, fields: dict[str, Field], prefix: str) -> None:
        """Walk to the end of a message, or of the text."""
        words = self.words
        counts: dict[str, int] = {}
        while words[self.at] not in _CLOSING:
            known = fields.get(words[self.at])
            if known is None:
                return
            path, start = f"{prefix}{known.name}", self.at
            self.found.setdefault(path, start)
            self.at += 1
            if words[self.at] == ":":
                self.at += 1
            if known.is_repeated and words[self.at] == "[":
                self._list(known, path, counts)
            else:
                self._value(known, path, start, counts)
            if words[self.at] in (",", ";"):
                self.at += 1

    def _list(self, known: Field, path: str, counts: dict[str, int]) -> None:
        """Walk over values in brackets."""
        self.at += 1
        while self.words[self.at] not in ("]", END):
            self._value(known, path, self.at, counts)
            if self.words[self.at] == ",":
                self.at += 1
        self.at += 1

    def _value(self, known: Field, path: str, start: int, counts: dict[str, int]) -> None:
        if known.is_map:
            self._entry(known, path, start)
            return
        if known.is_repeated:
            index = counts[path] = counts.get(path, -1) + 1
            path = f"{path}[{index}]"
            self.found[path] = start
        if known.kind == "message":
            self.at += 1
            self.message(known.fields, f"{path}.")
            self.at += 1
        else:
            self._scalar()

    def _scalar(self) -> None:
        """Walk over a scalar: a number with its sign, a word, or string after string."""
        words = self.words
        self.at += 1 + (words[self.at] == "-")
        while words[self.at][:1] in ("'", '"') and words[self.at - 1][:1] in ("'", '"'):
            self.at += 1

    def _key(self, at: int) -> str:
        """Return the key that is written behind the word `key`."""
        at += 1 + (self.words[at + 1] == ":")
        inner = _Walk(self.words, at)
        inner._scalar()
        parts = self.words[at : inner.at]
        return "".join(scalars.unescape(part[1:-1]) if part[0] in "'\"" else part for part in parts)

    def _entry(self, known: Field, path: str, start: int) -> None:
        """Walk over `{ key: ... value ... }`; the value's fields stand directly under the entry."""
        inner = _Walk(self.words, self.at + 1)
        inner.message(known.fields, "")
        path = f"{path}.{self._key(inner.found['key']) if 'key' in inner.found else ''}"
        self.at = inner.at + 1
        self.found[path] = start
        for name, index in inner.found.items():
            if name.startswith("value."):
                self.found[f"{path}{name.removeprefix('value')}"] = index
