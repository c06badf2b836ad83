"""Write a repository: staged beside the old one, compared with it, exchanged in one step.

What the user wrote into the same folder is never lost: files of ours that were edited, and files of the same name that
are not ours, are refused; everything else that is not ours is carried over.

A reader who wants one repository and not a mixture of two opens the root folder once and reads relative to it; if the
path then leads to another folder than the one it opened, the repository was exchanged meanwhile: read again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.changes import Changes, compare
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.exchange import (
    UNMOVABLE,
    build_lock,
    new_lock,
    put_in_place,
    recover,
    remove_folder,
    replay_journal,
    stage_beside,
    stage_inside,
    write_journal,
)
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.lock import Lock, read_lock, render_lock
from tritonsmith.generator.repository.names import LOCK_FILE, check_models
from tritonsmith.generator.repository.stage import Layout, assemble, lay_out, like_folder
from tritonsmith.generator.repository.states import FileState, Tree, WantedFile, parent_folders, scan_tree, wanted_files

_SHOWN_DIFF_LINES = 40


@dataclass(frozen=True)
class _Plan:
    """Everything that is known before the first byte is written."""

    root: Path
    tree: Tree
    ours: dict[str, FileState]
    wanted: dict[str, WantedFile]
    folders: tuple[str, ...]  # empty ones that the repository asks for
    changes: Changes
    lock: bytes


@dataclass(frozen=True)
class Files:
    """A repository as files alone, by path relative to its root, with the folders that stay empty.

    `lock` is the lock's text, `ours` what was written before: what of it was not edited since may be replaced.
    """

    wanted: dict[str, WantedFile]
    folders: tuple[str, ...]
    ours: dict[str, FileState]
    lock: bytes


def plan_changes(target: Path, repository: Repository) -> Changes:
    """Return what `write_repository` would change, conflicts included; nothing is written.

    Raises: RepositoryError where names are bad, or sources or the target cannot be read.
    """
    return _planned(target, lambda root, hashes: _plan(root, repository, hashes, is_forced=False))


def plan_files(target: Path, files: Files) -> Changes:
    """Return what `write_files` would change, conflicts included; nothing is written.

    Raises: RepositoryError where the target cannot be read.
    """
    return _planned(target, lambda root, hashes: _plan_files(root, files, hashes))


def write_repository(target: Path, repository: Repository, *, is_forced: bool = False) -> Changes:
    """Make the folder `target` hold the repository, and return what changed.

    Raises: RepositoryError where something would be lost and `is_forced` is not given, where names are bad, or where
    reading or writing fails; the old repository is then as it was.
    """
    return _written(target, lambda root, hashes: _plan(root, repository, hashes, is_forced=is_forced), is_forced)


def write_files(target: Path, files: Files, *, is_forced: bool = False) -> Changes:
    """Make the folder `target` hold a repository that was built elsewhere, and return what changed.

    Raises: RepositoryError, as `write_repository`.
    """
    return _written(target, lambda root, hashes: _plan_files(root, files, hashes), is_forced)


def _planned(target: Path, plan: Callable[[Path, HashCache], _Plan]) -> Changes:
    root = resolve_target(target)
    hashes = HashCache()
    try:
        return plan(root, hashes).changes
    except OSError as problem:
        raise _explained(problem, root) from problem
    finally:
        hashes.save()


def _written(target: Path, planned: Callable[[Path, HashCache], _Plan], is_forced: bool) -> Changes:
    root = resolve_target(target)
    hashes = HashCache()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(root):
            recover(root)
            plan = planned(root, hashes)
            refuse_losses(plan.root, plan.changes, is_forced=is_forced)
            _apply(plan, hashes)
            return plan.changes
    except OSError as problem:
        raise _explained(problem, root) from problem
    finally:
        hashes.save()


def resolve_target(target: Path) -> Path:
    """Return the folder that a target is, links followed.

    Raises: RepositoryError where it is none and cannot be one.
    """
    root = Path(os.path.realpath(target))
    if root.exists() and not root.is_dir():
        raise RepositoryError("a file is where the repository shall be", where=str(target), hint="move it away")
    if not root.name:
        raise RepositoryError(f"'{target}' cannot be a model repository", hint="name a folder")
    return root


def _plan(root: Path, repository: Repository, hashes: HashCache, *, is_forced: bool) -> _Plan:
    check_models(repository)
    wanted = wanted_files(repository, hashes)
    ours = written_before(root, is_forced=is_forced)
    asked = {f"{model.name}/{folder}" for model in repository.models.values() for folder in model.folders}
    folders = tuple(sorted((asked | {*repository.models}) - parent_folders(wanted)))
    files = {path: want.state for path, want in wanted.items()}
    lock = Lock(files, repository.name, repository.spec_digest, repository.settings)
    return _plan_files(root, Files(wanted, folders, ours, render_lock(lock)), hashes)


def _plan_files(root: Path, files: Files, hashes: HashCache) -> _Plan:
    tree = scan_tree(root)
    changes = compare(root, tree, files.ours, files.wanted, files.folders, hashes)
    return _Plan(root, tree, files.ours, files.wanted, files.folders, changes, files.lock)


def written_before(root: Path, *, is_forced: bool) -> dict[str, FileState]:
    """Return what a repository's lock says that was written into it; with `is_forced` nothing where it is broken.

    Raises: RepositoryError where the lock cannot be understood.
    """
    try:
        return dict(read_lock(root).files)
    except RepositoryError:
        if not is_forced:
            raise
        return {}


def refuse_losses(root: Path, changes: Changes, *, is_forced: bool) -> None:
    """Raise RepositoryError where the changes would lose what is not ours, or what was edited."""
    if changes.obstacles:
        raise RepositoryError(
            "\n  ".join(["something is in the way:", *changes.obstacles]), where=str(root), hint="move it away"
        )
    if changes.conflicts and not is_forced:
        listed = [f"{change.path} {change.conflict}" for change in changes.conflicts]
        diff = "".join(change.diff() for change in changes.conflicts).splitlines()
        shown = diff[:_SHOWN_DIFF_LINES] + ["..."] * (len(diff) > _SHOWN_DIFF_LINES)
        raise RepositoryError(
            "\n  ".join(["files of the user's would be lost:", *listed]) + "\n" + "\n".join(shown),
            where=str(root),
            hint="take the edits into the spec, or move the files away; --force overwrites them",
        )


def _apply(plan: _Plan, hashes: HashCache) -> None:
    if not plan.changes and plan.root.exists():
        _replace_lock(plan)
        return
    layout = lay_out(plan.tree, plan.ours, plan.wanted, plan.changes, plan.folders)
    try:
        if _must_stay(plan) or not _exchange(plan, layout, hashes):
            _write_inside(plan, layout, hashes)
    finally:  # whatever happened: nothing half-done, nothing left over
        try:
            recover(plan.root)
        except KeyboardInterrupt:  # Ctrl-C just before or after it
            recover(plan.root)
            raise


def _replace_lock(plan: _Plan) -> None:
    """Write the lock alone, where that alone differs (another version of ours, another comment in the spec)."""
    lock = plan.root / LOCK_FILE
    if lock.exists() and lock.read_bytes() == plan.lock:
        return
    try:
        new_lock(plan.root).write_bytes(plan.lock)
        new_lock(plan.root).replace(lock)
    finally:
        new_lock(plan.root).unlink(missing_ok=True)


def _must_stay(plan: _Plan) -> bool:
    """Whether the root folder itself must stay: because of what it is, where it lies, or what lies in it."""
    root = plan.root
    if not root.exists():
        return False
    return bool(root.is_mount() or _pinned(plan) or not os.access(root.parent, os.W_OK) or _stands_in(root))


def _pinned(plan: _Plan) -> list[str]:
    """Return the folders that cannot be replaced by a copy: mount points, folders that others own and we cannot write.

    The copy could be made, but what it replaces could not be removed.
    """
    root, user = plan.tree.folders[""], os.geteuid()
    return [
        path
        for path, state in plan.tree.folders.items()
        if state.st_dev != root.st_dev
        or (user not in (0, state.st_uid) and not os.access(f"{plan.root}/{path}", os.W_OK | os.X_OK))
    ]


def _stands_in(root: Path) -> bool:
    """Whether our working folder, and thus most likely the user's shell, is in the repository."""
    try:
        return Path.cwd().is_relative_to(root)
    except FileNotFoundError:  # the working folder was removed
        return False


def _exchange(plan: _Plan, layout: Layout, hashes: HashCache) -> bool:
    """Stage the repository beside the old one and exchange the two; False where the old one cannot be moved."""
    stage, root = stage_beside(plan.root), plan.root
    stage.mkdir()
    assemble(stage, root, plan.tree, layout, hashes)
    (stage / LOCK_FILE).write_bytes(plan.lock)
    if root.exists():
        like_folder(stage, plan.tree.folders[""])  # a server of another user must still be able to read it
    try:
        old = put_in_place(root)
    except OSError as problem:
        if problem.errno in UNMOVABLE:
            remove_folder(stage)
            return False
        raise
    if old is not None:
        _carry_latecomers(plan, layout, old)
    return True


def _carry_latecomers(plan: _Plan, layout: Layout, old: Path) -> None:
    """Carry over what others put into the old repository while we were staging."""
    carried = set(layout.carried)
    for path, state in scan_tree(old).files.items():
        before = plan.tree.files.get(path)
        is_late = before is None or (path in carried and before.st_ino != state.st_ino)
        if is_late and path not in layout.fresh:
            (plan.root / path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                (old / path).replace(plan.root / path)


def _write_inside(plan: _Plan, layout: Layout, hashes: HashCache) -> None:
    """Stage the models that change inside the root, and put them in place one by one under a journal."""
    root, stage = plan.root, stage_inside(plan.root)
    changed = {path.partition("/")[0] for path in (*layout.fresh, *layout.dropped, *plan.changes.folders)}
    pinned = [folder for folder in _pinned(plan) if folder.partition("/")[0] in changed]
    if pinned:
        raise RepositoryError(
            f"in models that change, these are mount points or another user's: {', '.join(pinned)}",
            where=str(root),
            hint="unmount them, or build as their owner",
        )
    # a file at the root goes the way of a model's folder
    stays = {model: model in layout.folders or model in layout.fresh for model in sorted(changed)}
    (stage / "new").mkdir(parents=True)
    assemble(stage / "new", root, plan.tree, layout, hashes, {model for model, is_kept in stays.items() if is_kept})
    (stage / LOCK_FILE).write_bytes(plan.lock)
    write_journal(root, stays, list(layout.dropped))
    replay_journal(root)


def _explained(problem: OSError, root: Path) -> RepositoryError:
    named = problem.filename2 or problem.filename  # the second is what was written, the first may be what was read
    is_full = problem.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    where = str(root / named) if isinstance(named, str) and not is_full else str(root)
    return RepositoryError(
        f"cannot build the repository: {problem.strerror or problem}",
        where=where,
        hint="the old repository is as it was; free space or fix the permissions, and build again",
    )
