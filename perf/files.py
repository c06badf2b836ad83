"""Files that appear whole or not at all, and what is said where the disk does not take them."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tritonsmith.generator.errors import UsageError

STAGE_PREFIX = ".stage-"  # of a file that is being written; a kill leaves one
ROOM_BYTES = 64 << 10
ROOM_NAME = "room"


def write_by_rename(path: Path, data: bytes) -> Path:
    """Write a file so that a reader, or a crash, finds the old content or the new.

    Raises: UsageError where the disk does not take it.
    """
    stage = None
    try:
        with writing(path):
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=STAGE_PREFIX, delete=False) as file:
                stage = Path(file.name)
                file.write(data)
            stage.chmod(0o644)
            os.replace(stage, path)  # noqa: PTH105 - Path.replace is the same; this name says what it does
    finally:
        if stage is not None:
            stage.unlink(missing_ok=True)  # gone where it was renamed; an interrupt leaves none either
    return path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which path could not be written and what stands in the way: a full disk is named with its room.

    Raises: UsageError.
    """
    try:
        yield
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {_reason(path, problem)}", hint=_hint(problem)) from None


def require_room(scratch: Path) -> None:
    """Refuse a full disk, which a program that writes into this scratch folder may not have said.

    Raises: UsageError that names the folder above, since the scratch folder will be gone.
    """
    probe = scratch / ROOM_NAME
    with writing(scratch.parent):
        try:
            probe.write_bytes(bytes(ROOM_BYTES))
        finally:
            probe.unlink(missing_ok=True)


def file_size_limit() -> str:
    """Return the limit of the size of files (`ulimit -f`) in words."""
    return f"files may have {resource.getrlimit(resource.RLIMIT_FSIZE)[0]:,} bytes at most here (ulimit -f)"


def _reason(path: Path, problem: OSError) -> str:
    if problem.errno == errno.EFBIG:
        return file_size_limit()
    if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(problem.strerror or problem)
    mount = path.absolute()
    while not mount.is_mount() and mount != mount.parent:
        mount = mount.parent
    usage = shutil.disk_usage(mount)
    return f"the disk at {mount} is full: {usage.free >> 10:,} of {usage.total >> 10:,} KiB free ({problem.strerror})"


def _hint(problem: OSError) -> str:
    if problem.errno == errno.EFBIG:
        return "raise the limit: ulimit -f unlimited"
    return "free some space, or choose a folder on another disk"
