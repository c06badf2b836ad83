"""Read a JSON file that another program wrote: values by key, and a finding for each that is not what it should be."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error

LARGEST_BYTES = 64 * 1024 * 1024
_SHOWN = 40  # characters of a value


@dataclass(frozen=True)
class JsonObject:
    """An object of a JSON file, at `key` in it; what its values should not be is added to `findings`.

    A key that is absent or null has its default; one without a default is required.
    """

    path: Path
    values: Mapping[str, Any]
    findings: list[Finding] = field(default_factory=list)
    key: str = ""

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def below(self, name: str, *, is_required: bool = False) -> JsonObject:
        """Return the object at a key; an empty one where there is none."""
        value = self._value(name, is_required=is_required)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, "an object")
        return JsonObject(self.path, value if isinstance(value, dict) else {}, self.findings, self._key(name))

    def whole(self, name: str, default: int | None = None, *, least: int = 0) -> int:
        """Return a whole number of at least `least`."""
        value = self._value(name, is_required=default is None)
        if value is None:
            return least if default is None else default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.refuse(name, f"a whole number from {least}")
            return least if default is None else default
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean; 0 and 1 count (TensorRT-LLM's gather_* are written so)."""
        value = self.values.get(name)
        if value is None:
            return default
        if value not in (True, False):
            self.refuse(name, "true or false")
            return default
        return bool(value)

    def text(self, name: str, default: str | None = None, known: Collection[str] = ()) -> str:
        """Return a text, one of `known` where that is given."""
        value = self._value(name, is_required=default is None)
        if value is None:
            return default or ""
        if not isinstance(value, str) or (known and value not in known):
            self.refuse(name, f"one of {', '.join(known)}" if known else "a text")
            return default or ""
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; a single one is a list of one."""
        value = self.values.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, str) for item in items):
            self.refuse(name, "a list of texts")
            return ()
        return tuple(items)

    def wholes(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers from 0; a single one is a list of one."""
        value = self.values.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in items):
            self.refuse(name, "whole numbers from 0")
            return ()
        return tuple(items)

    def refuse(self, name: str, expected: str) -> None:
        """Add the finding that a value is not what it should be."""
        text = json.dumps(self.values[name])
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        self.complain(f"expected {expected}, got {shown}", name)

    def complain(self, message: str, name: str = "", *, remedy: str = "") -> None:
        """Add a finding at a key, or at the object."""
        self.findings.append(error(message, Place(str(self.path)), key=self._key(name), remedy=remedy))

    def _value(self, name: str, *, is_required: bool) -> Any:
        value = self.values.get(name)
        if value is None and is_required:
            self.complain("the key is missing", name)
        return value

    def _key(self, name: str) -> str:
        return ".".join(part for part in (self.key, name) if part)


def read_json(path: Path, what: str, *, hint: str = "") -> JsonObject:
    """Return the object that a JSON file holds; `what` names the file in messages.

    Raises: SpecError where there is no regular file, or no JSON object in it.
    """
    try:
        # A pipe or a device would hold the reader for ever.
        if not path.is_file():
            raise SpecError(f"no {what} is there, or it is no regular file", where=str(path), hint=hint)
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise SpecError(f"{size:,} bytes are too many for {what}", where=str(path), hint=hint)
        data = path.read_bytes()
    except OSError as problem:
        raise SpecError(f"cannot read {what}: {problem.strerror}", where=str(path), hint=hint) from None
    return parse_json(data, path, what)


def parse_json(data: bytes, path: Path, what: str) -> JsonObject:
    """Return the object that a JSON file's bytes hold.

    Raises: SpecError where there is no JSON object in them.
    """
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as problem:  # not UTF-8, not JSON, a number too long, nested too deeply
        reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "it is not UTF-8 text, or nested deeply"
        line = f":{problem.lineno}" if isinstance(problem, json.JSONDecodeError) else ""
        raise SpecError(f"{what} is no JSON: {reason}", where=f"{path}{line}", hint="copy it again") from None
    if not isinstance(values, dict):
        raise SpecError(f"{what} holds no JSON object", where=str(path), hint="copy it again")
    return JsonObject(path, values)
