"""What a model's files hold, read no further than wanted: they may be anything, and of any size."""

from __future__ import annotations

from tritonsmith.generator.files import open_regular
from tritonsmith.generator.repository.core import Content, File


def first_bytes(file: File, count: int) -> bytes:
    """Return the first bytes of a file, fewer where it is shorter.

    Raises: OSError.
    """
    if isinstance(file, Content):
        return file.data[:count]
    with open_regular(file.path) as opened:
        return opened.read(count)


def small_bytes(file: File, most: int) -> bytes | None:
    """Return a file's bytes; None where it cannot be read, or has more."""
    try:
        data = first_bytes(file, most + 1)
    except OSError:
        return None
    return data if len(data) <= most else None
