"""Put a staged repository in the place of the old one, so that a crash at any moment leaves one of the two.

Three ways, the first that works:
1. `renameat2(RENAME_EXCHANGE)`: one system call exchanges the two folders.
2. Two renames, where the kernel or the file system lacks that call. Killed between them, `recover` does the second.
3. Model by model in the target itself, under a journal, where the target cannot be renamed: mount points (EBUSY),
   folders of an image's lower layers (EXDEV). The promise is then per model. `recover` replays the journal.

The promise is against kills, not against power cuts: nothing is synced to the disk.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import math
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.repository.names import LOCK_FILE

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LACKING = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # the kernel or the file system lacks the exchange
UNMOVABLE = (errno.EBUSY, errno.EXDEV)
_JOURNAL = "journal.json"
_LOCK_PERIOD_S = 0.1


def stage_beside(root: Path) -> Path:
    """Return where a repository is staged: on the same file system, under a name that no model has."""
    return root.with_name(f".{root.name}.tritonsmith-stage")


def stage_inside(root: Path) -> Path:
    """Return where models are staged if the root cannot be renamed."""
    return root / ".tritonsmith-stage"


def new_lock(root: Path) -> Path:
    """Return where a lock is written before it replaces the old one."""
    return root / f"{LOCK_FILE}.new"


def _aside(root: Path) -> Path:
    return root.with_name(f".{root.name}.tritonsmith-old")


@contextmanager
def build_lock(root: Path, *, limit_s: float = math.inf) -> Iterator[None]:
    """Hold the only build of a repository; a killed build's lock goes with its process.

    The parent is locked because the root is exchanged, and the root because two containers may mount it.

    Raises: BlockingIOError where another build has it for longer than the limit.
    """
    with ExitStack() as stack:
        for folder in (root.parent, root):
            if folder.is_dir():
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                _lock(descriptor, folder, limit_s)
        yield


def _lock(descriptor: int, folder: Path, limit_s: float) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        console.say(f"waiting for another build in {folder}")
        _wait_for(descriptor, limit_s)
    except OSError:
        return  # NFS and some FUSE file systems cannot lock folders: builds there are on their own


def _wait_for(descriptor: int, limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_LOCK_PERIOD_S)
        else:
            return


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders in one system call.

    Raises: OSError; with ENOSYS where the C library has no such call.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def put_in_place(root: Path) -> Path | None:
    """Put the stage beside the root in its place; return where the old repository then lies.

    Raises: OSError with an errno of UNMOVABLE where the root cannot be renamed; nothing has changed then.
    """
    stage, aside = stage_beside(root), _aside(root)
    if not root.exists():
        stage.rename(root)
        return None
    try:
        exchange(stage, root)
    except OSError as problem:
        if problem.errno not in _LACKING:
            raise
        root.rename(aside)
        stage.rename(root)
        return aside
    return stage


@contextmanager
def _signals_later() -> Iterator[None]:
    """Let Ctrl-C and its like wait: what cleans up is not left half-done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@_signals_later()
def recover(root: Path) -> None:
    """Finish what a killed build began, or take it back, and remove what it left."""
    stage, aside = stage_beside(root), _aside(root)
    if not root.exists() and aside.exists():
        # Killed between the two renames. The lock is staged last: a stage that has it is whole.
        (stage if (stage / LOCK_FILE).exists() else aside).rename(root)
    if (stage_inside(root) / _JOURNAL).exists():
        replay_journal(root)
    for leftover in (stage, aside, stage_inside(root)):
        if leftover.exists():
            remove_folder(leftover)
    new_lock(root).unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours and all in it, also where its owner made folders read-only."""
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for path, _, _ in os.walk(folder):
            with suppress(PermissionError):  # another user's: the second attempt says so
                os.chmod(path, stat.S_IRWXU)  # noqa: PTH101
        shutil.rmtree(folder)


def is_unfinished(root: Path) -> bool:
    """Whether a killed build left a repository that `recover` must finish before it can be read."""
    return (stage_inside(root) / _JOURNAL).exists() or (not root.exists() and _aside(root).exists())


def write_journal(root: Path, models: Mapping[str, bool], removed: list[str]) -> None:
    """Commit to the models staged inside the root: from here on `recover` finishes the build.

    `models` says for each model that changes whether it stays; a staged model is known again by its inode.
    """
    stage = stage_inside(root)
    inodes = {model: (stage / "new" / model).stat().st_ino if stays else 0 for model, stays in models.items()}
    temporary = stage / f"{_JOURNAL}.new"
    temporary.write_text(json.dumps({"models": inodes, "removed": removed}))
    temporary.replace(stage / _JOURNAL)


def replay_journal(root: Path) -> None:
    """Put the staged models in place, whichever of them already are; then the lock."""
    stage = stage_inside(root)
    journal = json.loads((stage / _JOURNAL).read_text())
    (stage / "old").mkdir(exist_ok=True)
    for model, inode in journal["models"].items():
        _put_model_in_place(root, model, inode, journal["removed"])
    if (stage / LOCK_FILE).exists():
        (stage / LOCK_FILE).replace(root / LOCK_FILE)
    (stage / _JOURNAL).unlink()
    remove_folder(stage)


def _put_model_in_place(root: Path, model: str, inode: int, removed: list[str]) -> None:
    here, new, old = root / model, stage_inside(root) / "new" / model, stage_inside(root) / "old" / model
    if here.exists() and here.stat().st_ino == inode:
        return
    by_file = stage_inside(root) / f"{model}.by-file"  # begun so, it must go on so
    if not by_file.exists():
        try:
            move_model(here, new, old, stays=bool(inode))
        except OSError as problem:
            if problem.errno not in UNMOVABLE:
                raise
            by_file.touch()
    if by_file.exists():
        _replace_files(root, model, new, removed)


def move_model(here: Path, new: Path, old: Path, *, stays: bool = True) -> None:
    """Put a staged model in the place of what is there, or take that away where the model does not stay.

    What was there then lies in `new` where the two could be exchanged, else in `old`; killed between the two renames,
    nothing is `here`, and a second call does the rest.

    Raises: OSError.
    """
    if not here.exists():
        if stays:
            new.rename(here)
        return
    if not stays:
        here.rename(old)
        return
    try:
        exchange(new, here)
    except OSError as problem:
        if problem.errno not in _LACKING:
            raise
        here.rename(old)
        new.rename(here)


def _replace_files(root: Path, model: str, new: Path, removed: list[str]) -> None:
    """Replace a model file by file, where its folder cannot be renamed; a file at the root by its content."""
    if new.is_file():
        (root / model).write_bytes(new.read_bytes())
    for folder, folders, files in os.walk(new):
        here = root / model / Path(folder).relative_to(new)
        here.mkdir(exist_ok=True)
        for name in [*files, *(name for name in folders if (Path(folder) / name).is_symlink())]:
            (Path(folder) / name).replace(here / name)
    for path in removed:
        if path.startswith(f"{model}/"):
            (root / path).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                for parent in (root / path).parents:
                    if parent == root:
                        break
                    parent.rmdir()
