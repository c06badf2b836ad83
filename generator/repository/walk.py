"""Walk a folder of the user's: symbolic links are followed, as Triton follows them, but neither in circles nor away.

What can be neither read nor entered is not dropped: it comes with its fault, and who walks says it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

BYTECODE = "__pycache__"
NEITHER = "neither a file nor a folder"  # a pipe, a socket, a device
_NAME = attrgetter("name")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something below a folder: its path relative to it, and why it cannot be read or entered; empty where it can.

    `fault` completes the sentence "PATH is ...".
    """

    path: str
    is_folder: bool
    fault: str = ""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to be looked into: its path below the root, where it lies, and the real folders it was linked from."""

    path: str
    lies: str
    linked_from: tuple[str, ...] = ()

    def entry(self, found: os.DirEntry[str]) -> tuple[Entry, _Folder | None]:
        """Return what an entry is, and the folder to look into where it is one."""
        path = f"{self.path}/{found.name}" if self.path else found.name
        if not found.is_symlink():
            if found.is_file():
                return Entry(path, False), None
            if found.is_dir():
                return Entry(path, True), _Folder(path, found.path, self.linked_from)
            return Entry(path, False, NEITHER), None
        try:
            mode = found.stat().st_mode
        except OSError as problem:
            return Entry(path, False, _why_unreadable(problem, is_link=True)), None
        if not stat.S_ISDIR(mode):
            return Entry(path, False, "" if stat.S_ISREG(mode) else NEITHER), None
        target, above = os.path.realpath(found.path), (*self.linked_from, os.path.realpath(self.lies))
        if any(os.path.commonpath([folder, target]) == target for folder in above):
            return Entry(path, False, "a link to a folder that holds it"), None
        return Entry(path, True), _Folder(path, target, above)


def walk(root: Path | str, left_out: Container[str] = ()) -> Iterator[Entry]:
    """Yield everything below a folder in the order of its names, but the names that are left out and what lies below.

    The folder itself comes, with the path "", only where it cannot be read.
    """
    waiting = [_Folder("", str(root))]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder.lies) as entries:
                found = sorted(entries, key=_NAME)
            if not os.access(folder.lies, os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as problem:
            yield Entry(folder.path, True, _why_unreadable(problem))
            continue
        inner = []
        for one in found:
            if one.name not in left_out:
                entry, below = folder.entry(one)
                yield entry
                if below is not None:
                    inner.append(below)
        waiting += reversed(inner)


def whole(entries: Iterable[Entry]) -> tuple[list[str], dict[str, str]]:
    """Return the paths of the files, and of what has a fault with the fault."""
    files, faults = [], {}
    for entry in entries:
        if entry.fault:
            faults[entry.path] = entry.fault
        elif not entry.is_folder:
            files.append(entry.path)
    return files, faults


def fault_of_link(path: Path) -> str:
    """Return why nothing can be reached through a symbolic link; empty where it can, or where it is none."""
    try:
        path.stat()
    except OSError as problem:
        return _why_unreadable(problem, is_link=True) if path.is_symlink() else ""
    return ""


def _why_unreadable(problem: OSError, *, is_link: bool = False) -> str:
    if is_link and isinstance(problem, FileNotFoundError):
        return "a link to nothing"
    if is_link and problem.errno == errno.ELOOP:
        return "a link to itself"
    return f"unreadable: {problem.strerror}"
