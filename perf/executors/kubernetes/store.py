"""A pod's documents in an object store: each is an object, which is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable

from tritonsmith.backends.deploy.store.objects import list_objects
from tritonsmith.backends.deploy.store.reach import address_of, reached


class StoreShelf:
    """Documents below a URL: s3://, gs:// or as://, in Triton's own forms.

    All of its methods raise: ToolMissingError without the store's packages; RepositoryError where there is no such
    bucket; ServerError where the store refuses or cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._address = address_of(url)

    def __str__(self) -> str:
        return self._address.url

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return those of these documents that are there."""
        found = {}
        with reached(self._address) as store:
            for name in names:
                try:
                    found[name] = bytes(store.cat_file(f"{self._address.path}/{name}"))
                except FileNotFoundError:
                    continue
        return found

    def write(self, name: str, data: bytes) -> None:
        """Write a document."""
        with reached(self._address) as store:
            store.pipe_file(f"{self._address.path}/{name}", data)

    def names(self) -> list[str]:
        """Return the names of all documents."""
        with reached(self._address) as store:
            return sorted(list_objects(store, self._address))
