"""Reach a store: its implementation, and what it says in words of the user's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tritonsmith.backends.deploy.store.fetch import PACKAGES, Address, StoreError, faults, open_store, parse_address
from tritonsmith.generator.errors import RepositoryError, ServerError, ToolMissingError, UsageError

INSTALL = "pip install 'tritonsmith[store]'"


def address_of(url: str) -> Address:
    """Return the place that a URL names.

    Raises: UsageError where it is no store's.
    """
    try:
        return parse_address(url)
    except ValueError as problem:
        raise UsageError(str(problem)) from None


@contextmanager
def reached(address: Address) -> Iterator[Any]:
    """Yield fsspec's file system for a place; what it raises in the block is said as an error of ours.

    Raises: ToolMissingError; RepositoryError where there is no such bucket, or what is there is not a push's;
    ServerError where the store refuses or cannot be reached.
    """
    try:
        yield open_store(address)
    except ImportError as problem:
        package = PACKAGES[address.url.partition(":")[0]]
        raise ToolMissingError(
            f"{address.url} needs {package}, which cannot be imported: {problem.__cause__ or problem}", hint=INSTALL
        ) from None
    except FileNotFoundError as problem:
        raise RepositoryError(
            f"{said(problem)}", where=address.url, hint="make the bucket first, and look at its name"
        ) from None
    except PermissionError as problem:
        raise ServerError(
            f"the store refuses: {said(problem)}",
            where=address.url,
            hint="the credentials need to list, read, write and delete objects below this path",
        ) from None
    except StoreError as problem:
        raise RepositoryError(str(problem), where=address.url) from None
    except faults() as problem:
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RepositoryError(
                f"the disk does not take it: {problem.strerror}", hint="free space, and go on"
            ) from None
        raise ServerError(
            f"cannot work with the store: {said(problem)}",
            where=address.url,
            hint="look at the endpoint, the network and the credentials (environment or profile)",
        ) from None


def said(problem: Exception) -> str:
    """Return in a line what a store said."""
    first, *_ = str(problem).splitlines() or [""]  # Azure adds its answer's XML
    return f"{type(problem).__name__}: {first}".rstrip(": ")
