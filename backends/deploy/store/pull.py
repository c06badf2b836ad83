"""Pull a repository from an object store: what differs is fetched beside the folder, then exchanged as a build is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.backends.deploy.store.fetch import (
    Address,
    Manifest,
    Stored,
    StoreError,
    alone_in,
    download_all,
    find_repository,
    is_there,
    parse_manifest,
    render_manifest,
)
from tritonsmith.backends.deploy.store.reach import address_of, reached
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.repository.changes import Changes
from tritonsmith.generator.repository.exchange import remove_folder
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.lock import Lock, render_lock
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.repository.states import FileState, WantedFile, held, read_state
from tritonsmith.generator.repository.write import (
    Files,
    plan_files,
    refuse_losses,
    resolve_target,
    write_files,
    written_before,
)

RECORD = ".tritonsmith-pulled.json"  # the manifest of what was pulled, by which edits made since are told


@dataclass(frozen=True)
class Pull:
    """What a pull did, or would do: files by path; `url` is the push's own."""

    url: str
    digest: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    fetched_bytes: int


def pull(url: str, target: Path, *, is_forced: bool = False, is_dry: bool = False) -> Pull:
    """Make a folder hold the repository that a URL names: a push's, or the last of the path that was pushed to.

    What was fetched stays for the next call where this one is interrupted.

    Raises: UsageError, ToolMissingError, ServerError; RepositoryError where nothing was pushed there, where an object
    is not what was pushed, or where files of the user's would be lost and `is_forced` is not given.
    """
    address, root = address_of(url), resolve_target(target)
    with reached(address) as store:
        place, manifest = find_repository(store, address)
        stage = _stage_of(root)
        files = _files(root, stage, manifest, b"", is_forced=is_forced)
        changes = plan_files(root, files)
        refuse_losses(root, changes, is_forced=is_forced)
        fetched = _differing(manifest, changes)
        if not is_dry:
            with _alone_in(stage):
                _fetch(store, place, {**fetched, **_lock_of(manifest)}, stage)
                files = _files(root, stage, manifest, _lock(stage, manifest), is_forced=is_forced)
                before = _pulled_before(root, is_forced=is_forced)
                write_files(root, files, is_forced=is_forced)
                _remove_folders(root, {*before.folders} - {*manifest.folders})
                remove_folder(stage)
    return _pulled(place.url, manifest, changes, sum(stored.size for stored in fetched.values()))


def _pulled(url: str, manifest: Manifest, changes: Changes, fetched_bytes: int) -> Pull:
    replaced = [change for change in (*changes.changed, *changes.conflicts) if change.after and change.path != RECORD]
    return Pull(
        url,
        manifest.digest,
        tuple(change.path for change in changes.added if change.path != RECORD),
        tuple(change.path for change in replaced),
        tuple(change.path for change in (*changes.removed, *changes.conflicts) if not change.after),
        len([path for path in changes.unchanged if path != RECORD]),
        fetched_bytes,
    )


def _stage_of(root: Path) -> Path:
    """Return where files are fetched to: beside the repository, or in it where nothing can be written beside it."""
    if root.exists() and (root.is_mount() or not os.access(root.parent, os.W_OK)):
        return root / ".tritonsmith-pull"
    return root.with_name(f".{root.name}.tritonsmith-pull")


def _files(root: Path, stage: Path, manifest: Manifest, lock: bytes, *, is_forced: bool) -> Files:
    wanted = {path: _wanted(stage / path, stored) for path, stored in manifest.files.items() if path != LOCK_FILE}
    wanted[RECORD] = WantedFile(held(render_manifest(_without_tags(manifest))))
    return Files(wanted, manifest.folders, _ours(root, is_forced=is_forced), lock)


def _without_tags(manifest: Manifest) -> Manifest:
    """Return a manifest that is the same from every store."""
    return Manifest({path: replace(stored, etag="") for path, stored in manifest.files.items()}, manifest.folders)


def _wanted(source: Path, stored: Stored) -> WantedFile:
    mtime_ns = source.stat().st_mtime_ns if source.exists() else 0
    return WantedFile(FileState(stored.size, stored.sha256), source, mtime_ns, is_spare=True)


def _ours(root: Path, *, is_forced: bool) -> dict[str, FileState]:
    """Return what a build or a pull wrote, whichever of the two a file still is."""
    ours = written_before(root, is_forced=is_forced)
    hashes = HashCache()
    for path, stored in _pulled_before(root, is_forced=is_forced).files.items():
        state = FileState(stored.size, stored.sha256)
        if path != LOCK_FILE and (path not in ours or _is(root / path, state, hashes)):
            ours[path] = state
    return {**ours, **({RECORD: held(read_regular(root / RECORD))} if (root / RECORD).is_file() else {})}


def _pulled_before(root: Path, *, is_forced: bool) -> Manifest:
    """Return what the last pull wrote; nothing where there was none, or, with `is_forced`, where its record is broken.

    Raises: RepositoryError where the record cannot be understood.
    """
    try:
        return parse_manifest(read_regular(root / RECORD), str(root / RECORD))
    except FileNotFoundError:
        pass
    except StoreError as problem:
        if not is_forced:
            raise RepositoryError(str(problem), hint="--force takes it that nothing was pulled") from None
    return Manifest({})


def _remove_folders(root: Path, folders: set[str]) -> None:
    """Remove empty folders of the last pull, and what is then empty: Triton takes one called 2 for a version."""
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):  # somebody put something into it
            for path in (root / folder, *(root / folder).parents):
                if path == root:
                    break
                path.rmdir()


def _is(path: Path, state: FileState, hashes: HashCache) -> bool:
    return path.exists() and read_state(str(path), path.lstat(), hashes) == state


def _differing(manifest: Manifest, changes: Changes) -> dict[str, Stored]:
    """Return the files that have to be fetched."""
    paths = [change.path for change in (*changes.added, *changes.changed, *changes.conflicts) if change.after]
    return {path: manifest.files[path] for path in paths if path != RECORD}


def _lock_of(manifest: Manifest) -> dict[str, Stored]:
    return {LOCK_FILE: manifest.files[LOCK_FILE]} if LOCK_FILE in manifest.files else {}


@contextmanager
def _alone_in(stage: Path) -> Iterator[None]:
    """Keep other pulls from a folder's stage, from which files are linked as they are."""
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(stage))
        except OSError as problem:
            raise RepositoryError(f"cannot write {stage}: {problem.strerror}") from None
        yield


def _fetch(store: Any, place: Address, files: Mapping[str, Stored], stage: Path) -> None:
    missing = {path: stored for path, stored in files.items() if not is_there(stage / path, stored)}
    download_all(store, place, missing, stage)


def _lock(stage: Path, manifest: Manifest) -> bytes:
    """Return the lock that was pushed; where there was none, one of what was pulled."""
    if LOCK_FILE in manifest.files:
        return read_regular(stage / LOCK_FILE)
    files = {path: FileState(stored.size, stored.sha256) for path, stored in manifest.files.items()}
    return render_lock(Lock(files))
