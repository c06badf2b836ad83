"""A model's new folder beside the old one: what has not changed is linked, so that Triton does not load it anew."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from tritonsmith.backends.deploy.live.core import Wanted


def copy_version(model: Wanted, version: int, target: Path) -> None:
    """Copy the files of one of a model's versions."""
    target.mkdir()
    for path, source in model.files.items():
        if path.startswith(f"{version}/"):
            copy(source, target / path.partition("/")[2])


def copy(source: Path, target: Path, unless_like: Path | None = None) -> None:
    """Copy a file, or link the one that was there where it is the same."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if unless_like is not None and _is_like(source, unless_like):
        link(unless_like, target)
    else:
        shutil.copy(source, target)


def give(new: Path, like: Path) -> None:
    """Let the server read what was made, however strict our umask: owner and access as `like` has them.

    What is linked is another folder's, too, and stays as it is.
    """
    there = like.stat()
    for folder, _, names in os.walk(new):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            found = path.lstat()
            is_folder = stat.S_ISDIR(found.st_mode)
            if stat.S_ISLNK(found.st_mode) or (found.st_nlink > 1 and not is_folder):
                continue
            with suppress(PermissionError):  # only root gives files away
                os.chown(path, there.st_uid, there.st_gid)
            path.chmod(stat.S_IMODE(found.st_mode) | there.st_mode & (0o055 if is_folder else 0o044))


def write(target: Path, data: bytes, unless_like: Path | None = None) -> None:
    """Write a file, or link the one that was there where it is the same."""
    if unless_like is not None and unless_like.read_bytes() == data:
        link(unless_like, target)
    else:
        target.write_bytes(data)


def _is_like(one: Path, other: Path) -> bool:
    if not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as mine, other.open("rb") as theirs:
        while piece := mine.read(1 << 20):
            if piece != theirs.read(1 << 20):
                return False
    return True


def link(source: Path | str, target: Path | str) -> None:
    """Link a file that stays, with its time: a copy would make Triton load anew what has not changed."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        shutil.copy2(source, target, follow_symlinks=False)
