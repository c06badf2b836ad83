"""What files are and what they shall be: their size and hash, and their bytes where these are few."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.core import Content, File, Model, Repository
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.names import CONFIG_FILE
from tritonsmith.generator.repository.pbtxt import render_config

# Files up to this size are held in memory: read once for their hash, their text in a diff, and their copy.
HELD_BYTES = 64 * 1024


@dataclass(frozen=True)
class FileState:
    """A file's content, or where it leads if it is a symbolic link; `data` are its bytes where they are held."""

    size: int
    sha256: str
    link: str = ""
    data: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class WantedFile:
    """A file to be written: its state, and where its bytes lie if they are not held.

    A spare source has no other use: it is linked rather than copied.
    """

    state: FileState
    source: Path | None = None
    source_mtime_ns: int = 0
    is_spare: bool = False


@dataclass(frozen=True)
class Tree:
    """Everything below a folder by relative path, links not followed; the folder itself is ""."""

    files: dict[str, os.stat_result]
    folders: dict[str, os.stat_result]


def scan_tree(root: Path) -> Tree:
    """Return everything below a folder; nothing where there is no such folder."""
    tree = Tree({}, {})
    if not root.is_dir():
        return tree
    tree.folders[""] = root.stat()
    waiting = [("", str(root))]
    while waiting:
        prefix, folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode):
                    tree.folders[path] = state
                    waiting.append((f"{path}/", entry.path))
                else:
                    tree.files[path] = state
    return tree


def parent_folders(paths: Iterable[str]) -> set[str]:
    """Return every folder above the paths, the root left out."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def held(data: bytes) -> FileState:
    """Return the state of a file with this content."""
    return FileState(len(data), hashlib.sha256(data).hexdigest(), data=data)


def read_state(path: str, state: os.stat_result, hashes: HashCache) -> FileState:
    """Return the state of a file on disk whose `lstat` is `state`."""
    if stat.S_ISLNK(state.st_mode):
        return FileState(0, "", link=os.readlink(path))  # noqa: PTH115
    if not stat.S_ISREG(state.st_mode):
        return FileState(-1, "")  # a pipe or socket equals nothing
    if state.st_size <= HELD_BYTES:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return held(file.read())
    return FileState(state.st_size, hashes.sha256(path, state))


def wanted_files(repository: Repository, hashes: HashCache) -> dict[str, WantedFile]:
    """Return every file that the repository shall have, by path relative to its root, sorted.

    Raises: RepositoryError where a source file cannot be read.
    """
    files = dict(repository.files)
    for model in repository.models.values():
        files |= {f"{model.name}/{path}": file for path, file in _model_files(model)}
    found: dict[str, WantedFile] = {}
    for path, file in sorted(files.items()):
        try:
            found[path] = _wanted(file, hashes)
        except OSError as problem:
            raise RepositoryError(f"cannot read {problem.filename}: {problem.strerror}", where=path) from None
    return found


def _model_files(model: Model) -> Iterator[tuple[str, File]]:
    if model.config is not None:
        yield CONFIG_FILE, Content(render_config(model.config).encode())
    yield from model.files.items()


def _wanted(file: File, hashes: HashCache) -> WantedFile:
    if isinstance(file, Content):
        return WantedFile(held(file.data))
    if file.place == "link":
        # Absolute: a link leads to a place on this machine, and views of the repository lie elsewhere.
        target = str(file.path.absolute())
        file.path.stat()
        return WantedFile(FileState(0, "", link=target))
    state = file.path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise IsADirectoryError(21, "not a file", str(file.path))
    return WantedFile(read_state(str(file.path), state, hashes), file.path, state.st_mtime_ns)
