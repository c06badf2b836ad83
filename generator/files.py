"""Files of the user's, which may be anything: a pipe would be waited for, a device never ends; and notes of our own."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

_NOT_UTF_8 = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """Return a text that every encoding of Unicode takes: a byte of a file's name that is not UTF-8 is `\\xff`."""
    return text if text.isascii() else _NOT_UTF_8.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file for reading.

    Raises: OSError where it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe that nobody writes into blocks
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path | str) -> bytes:
    """Return the bytes of a regular file.

    Raises: OSError, as `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def write_private(path: Path, data: bytes) -> None:
    """Write a file for its owner's eyes, by rename, and let it reach the disk: a crash leaves the old or the new.

    Raises: OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stage = path.with_suffix(".stage")
    with os.fdopen(os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    stage.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
