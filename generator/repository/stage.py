"""Stage a repository: unchanged files hard-linked, times of folders kept, entries that are not ours carried along."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.changes import Changes
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.repository.states import FileState, Tree, WantedFile, parent_folders

_BYTECODE = "__pycache__"


@dataclass(frozen=True)
class Layout:
    """The new repository below its root: files to write, files to carry over from the old one, all folders."""

    fresh: Mapping[str, WantedFile]
    carried: tuple[str, ...]
    folders: tuple[str, ...]  # parents first
    dropped: tuple[str, ...]  # files of the old repository that the new one lacks
    touched: frozenset[str]  # folders whose entries come or go


def lay_out(
    tree: Tree,
    ours: Mapping[str, FileState],
    wanted: Mapping[str, WantedFile],
    changes: Changes,
    folders: tuple[str, ...],
) -> Layout:
    """Return the new repository's layout; where there are conflicts, they go our way."""
    replaced = [*changes.added, *changes.changed, *(change for change in changes.conflicts if change.after)]
    fresh = {change.path: wanted[change.path] for change in replaced}
    gone = {change.path for change in (*changes.removed, *changes.conflicts) if change.after is None}
    kept = [path for path in tree.files if path not in fresh and path not in gone and path != LOCK_FILE]
    stays = [*wanted, *(path for path in kept if not _is_bytecode(path))]
    our_folders = parent_folders(ours)
    foreign = [path for path in tree.folders if path and path not in our_folders and not _is_bytecode(path)]
    solid = parent_folders(stays) | parent_folders([*folders, *foreign]) | {*folders, *foreign}
    # Bytecode that a server wrote beside a model goes with the model.
    carried = [path for path in kept if not _is_bytecode(path) or path.partition(f"/{_BYTECODE}/")[0] in solid]
    final = solid | parent_folders(carried)
    entries = {*fresh, *carried, LOCK_FILE}
    dropped = [path for path in tree.files if path not in entries]
    return Layout(
        fresh,
        tuple(carried),
        tuple(sorted(final)),
        tuple(dropped),
        _touched(tree, final, [*(entries - tree.files.keys()), *dropped]),
    )


def assemble(
    stage: Path,
    root: Path,
    tree: Tree,
    layout: Layout,
    hashes: HashCache,
    models: Collection[str] | None = None,
) -> None:
    """Write the new repository, or some of its models, into an empty folder."""

    def is_staged(path: str) -> bool:
        return models is None or path.partition("/")[0] in models

    folders = [folder for folder in layout.folders if is_staged(folder)]
    with _opened(stage) as into:
        for folder in folders:
            os.mkdir(folder, dir_fd=into)
        carried = [path for path in layout.carried if is_staged(path)]
        if carried:
            with _opened(root) as source:
                for path in carried:
                    _link_or_copy(root, source, stage, into, path)
        for path, want in layout.fresh.items():
            if is_staged(path):
                _write_file(stage, into, path, want, tree.files.get(path))
                if want.state.data is None and not want.state.link:
                    written = os.stat(path, dir_fd=into)
                    hashes.remember(f"{root}/{path}", written, want.state.sha256)
        for folder in reversed(folders):
            if folder in tree.folders:
                _restore_folder(into, folder, tree.folders[folder], folder in layout.touched)


def like_folder(path: Path, model: os.stat_result) -> None:
    """Give a folder another's mode and owner."""
    path.chmod(stat.S_IMODE(model.st_mode))
    with suppress(PermissionError):
        os.chown(path, model.st_uid, model.st_gid)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _link_or_copy(root: Path, source: int, stage: Path, into: int, path: str) -> None:
    try:
        os.link(path, path, src_dir_fd=source, dst_dir_fd=into, follow_symlinks=False)
    except OSError:  # another user's file, too many links, no hard links here: a copy does, or it says why not
        shutil.copy2(root / path, stage / path, follow_symlinks=False)


def _write_file(stage: Path, into: int, path: str, want: WantedFile, old: os.stat_result | None) -> None:
    if want.state.link:
        os.symlink(want.state.link, path, dir_fd=into)
        return
    if want.state.data is None:
        _copy(want, stage / path)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=into)
        try:
            left = memoryview(want.state.data)
            while left:  # a full disk first writes less, then says why
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
    if old is not None and stat.S_ISREG(old.st_mode):
        (stage / path).chmod(stat.S_IMODE(old.st_mode))


def _copy(want: WantedFile, destination: Path) -> None:
    """Copy a big file whose hash is known, and refuse it if it has changed since."""
    source = want.source
    assert source is not None, "a file is held or has a source"
    if want.is_spare:
        with suppress(OSError):  # another file system, or one without hard links
            os.link(source, destination)
            return
    shutil.copyfile(source, destination)
    if (source.stat().st_mtime_ns, destination.stat().st_size) != (want.source_mtime_ns, want.state.size):
        raise RepositoryError("the file changed while it was copied", where=str(source), hint="build again")


def _restore_folder(into: int, folder: str, old: os.stat_result, is_touched: bool) -> None:
    """Give a folder of the old repository its mode, owner and, where no entry came or went, its times.

    Copies, archives and object stores that go by times then see what changed. A Triton that polls does not: it takes
    the later of modification and change time (core: filesystem/implementations/local.h), and nobody can set the latter
    back. After an exchange it reloads every model; where models are written inside the root, only those that changed.
    """
    os.chmod(folder, stat.S_IMODE(old.st_mode), dir_fd=into)
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):
            os.chown(folder, old.st_uid, old.st_gid, dir_fd=into)
    if not is_touched:
        os.utime(folder, ns=(old.st_atime_ns, old.st_mtime_ns), dir_fd=into)


def _touched(tree: Tree, final: set[str], changed: Iterable[str]) -> frozenset[str]:
    """Return the folders in which an entry comes or goes, be it a file or a folder."""
    coming, going = final - tree.folders.keys(), tree.folders.keys() - final - {""}
    return frozenset(path.rpartition("/")[0] for path in (*changed, *coming, *going))


def _is_bytecode(path: str) -> bool:
    return f"/{_BYTECODE}/" in f"{path}/"
