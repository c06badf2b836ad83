"""Documents that a verb leaves: one JSON file, whole or not there, of a schema, validated when it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.perf.files import write_by_rename

Document = TypeVar("Document")


@dataclass(frozen=True)
class Kind(Generic[Document]):
    """A kind of document: its class, its name, the schemas that are read, of which the last is written.

    `file_name` is the document's in its folder; empty where it has no folder of its own. `made_by` is said where there
    is none, `again` where one cannot be read.
    """

    type: type[Document]
    noun: str
    schemas: tuple[str, ...]
    made_by: str
    again: str
    file_name: str = ""

    def write(self, document: Document, path: Path) -> Path:
        """Write a document by rename, into its folder or as a file, and return the file."""
        return write_by_rename(path / self.file_name, self._adapter.dump_json(document, indent=1))

    def read(self, path: Path) -> Document:
        """Read a document, or the one in a folder.

        Raises: UsageError where there is none; RepositoryError where it is none of these schemas.
        """
        file = path / self.file_name if path.is_dir() else path
        try:
            data = file.read_bytes()
        except OSError as problem:
            why = f"it has no {self.file_name}" if file != path else problem.strerror
            raise UsageError(f"no {self.noun} in {path}: {why}", hint=self.made_by) from None
        try:
            schema = json.loads(data).get("schema")
        except (ValueError, AttributeError):
            raise RepositoryError("not a JSON document", where=str(file), hint=self.again) from None
        if schema not in self.schemas:
            hint = f"it was written by another version; {self.again}"
            raise RepositoryError(f"schema {schema!r} is not {self.schemas[-1]!r}", where=str(file), hint=hint)
        try:
            return self._adapter.validate_json(data)
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RepositoryError(f"{place}: {first['msg']}", where=str(file), hint=self.again) from None

    def as_json(self, document: Document) -> dict[str, Any]:
        """Return a document as plain JSON data."""
        data: dict[str, Any] = json.loads(self._adapter.dump_json(document))
        return data

    @cached_property
    def _adapter(self) -> TypeAdapter[Document]:
        return TypeAdapter(self.type)
