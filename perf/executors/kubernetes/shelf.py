"""Where a pod's documents lie: a folder, as a mounted claim or ConfigMap is one, or an object store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tritonsmith.perf.files import write_by_rename, writing


class Shelf(Protocol):
    """Small documents by name; a reader finds a document whole or not at all."""

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return those of these documents that are there."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a document in one piece."""
        ...

    def names(self) -> list[str]:
        """Return the names of all documents."""
        ...


class FolderShelf:
    """Documents in a folder and in those below it, which a copy of a claim may have."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return those of these documents that are there."""
        return {name: path.read_bytes() for name in names if (path := self._folder / name).is_file()}

    def write(self, name: str, data: bytes) -> None:
        """Write a document by rename.

        Raises: UsageError where the disk does not take it.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_by_rename(self._folder / name, data)

    def names(self) -> list[str]:
        """Return the names of all documents, those of folders below with their path."""
        files = [path for path in self._folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return sorted(path.relative_to(self._folder).as_posix() for path in files)


def shelf_at(place: str) -> Shelf:
    """Return the documents in a folder, or at a store's URL.

    Raises: UsageError for a URL that is no store's.
    """
    if "://" in place:
        from tritonsmith.perf.executors.kubernetes.store import StoreShelf

        return StoreShelf(place)
    return FolderShelf(Path(place))
