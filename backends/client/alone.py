"""One command of a user at a time on a server whose models it changes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.home import state_folder

_THIS_MACHINE = ("", "localhost", "0.0.0.0", "[::1]", "[::]")  # noqa: S104 - asked, not bound


def server_key(url: str) -> str:
    """Return one spelling of "host:port" for a server, however it was typed: this machine has several names.

    Names of other machines are not resolved: their addresses change, and what was written down would not be found.
    """
    host, _, port = url.lower().rpartition(":")
    is_here = host in _THIS_MACHINE or host.startswith("127.")
    return f"{'127.0.0.1' if is_here else host}:{port}"


def short_name(url: str) -> str:
    """Return a name for files about a server."""
    return hashlib.sha256(server_key(url).encode()).hexdigest()[:16]


def notes_of(url: str) -> Path:
    """Return where a command that changes a server writes down what was there before; "host:port" of its HTTP."""
    return state_folder() / "overrides" / f"{short_name(url)}.json"


@contextlib.contextmanager
def alone_with(url: str, why: str) -> Iterator[None]:
    """Keep other commands of this user off a server meanwhile; the kernel lets go of the lock, however we end.

    `why` completes "wait until it has ended: ...".

    Raises: UsageError where another command holds it, or the lock cannot be written.
    """
    path = notes_of(url).with_suffix(".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {problem.strerror}", hint="$TRITONSMITH_HOME names a folder") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        hint = f"wait until it has ended: {why}"
        raise UsageError(f"another command is changing configurations on {url}", hint=hint) from None
    try:
        yield
    finally:
        os.close(handle)
