"""A folder of generated files: written whole, never over what somebody edited since.

`.tritonsmith.json` in it records what we wrote, by hash. While files are written it names the old and the new hash of
each, so that a run that was killed between two files leaves nothing that the next would take for somebody's edit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.files import read_regular

RECORD = ".tritonsmith.json"  # a folder's own lock
_Recorded = dict[str, frozenset[str]]  # by path, the hashes under which we may have written it


@dataclass(frozen=True)
class Written:
    """What was written to a folder, or would be: files by path below it, in order, of which some changed."""

    folder: Path
    files: tuple[str, ...]
    changed: tuple[str, ...]
    is_dry: bool = False

    def __str__(self) -> str:
        verb = "would write" if self.is_dry else "wrote"
        return f"{verb} {len(self.changed)} of {len(self.files)} files to {self.folder}"

    def as_json(self) -> dict[str, Any]:
        """Return it as data."""
        return {"folder": str(self.folder), "files": list(self.files), "changed": list(self.changed)}


def write_folder(folder: Path, files: Mapping[str, bytes], *, is_forced: bool = False, is_dry: bool = False) -> Written:
    """Write files, by path relative to the folder, and return what changed; files of ours that went are removed.

    Nothing is written unless all can be: what was edited since, or is not ours, is named instead. A folder that is a
    link is never written through. `is_dry` writes nothing at all, and says what would change.

    Raises: RepositoryError that names what would be lost; UsageError where the disk does not take it.
    """
    recorded = _recorded(folder)
    _require_no_links(folder, {*files, *recorded})
    present = {path: _digest(folder / path) for path in {*files, *recorded}}
    wanted = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    lost = [
        path for path, now in present.items() if now and now != wanted.get(path) and now not in recorded.get(path, ())
    ]
    if lost and not is_forced:
        raise RepositoryError(
            f"{', '.join(sorted(lost))} would be lost: edited since, or not written by tritonsmith",
            where=str(folder),
            hint="keep changes in an overlay of your own; or --force to overwrite",
        )
    changed = sorted(path for path, digest in wanted.items() if present[path] != digest)
    if not is_dry:
        gone = sorted(recorded.keys() - files.keys())
        try:
            _write_all(folder, {path: files[path] for path in changed}, gone, wanted, recorded)
        except OSError as problem:
            raise UsageError(f"cannot write {problem.filename or folder}: {problem.strerror}") from None
    return Written(folder, tuple(sorted(files)), tuple(changed), is_dry)


def _write_all(
    folder: Path, changed: Mapping[str, bytes], gone: list[str], wanted: Mapping[str, str], recorded: _Recorded
) -> None:
    settled = {path: frozenset({digest}) for path, digest in wanted.items()}
    for path in {RECORD, *settled, *gone}:  # of a run that was killed
        with contextlib.suppress(NotADirectoryError):
            _stage(folder / path).unlink(missing_ok=True)
    if changed or gone:
        between = {path: settled.get(path, frozenset()) | recorded.get(path, frozenset()) for path in {*settled, *gone}}
        _write(folder / RECORD, _record(between))
    for path, data in changed.items():
        _write(folder / path, data)
    for path in gone:
        (folder / path).unlink(missing_ok=True)
        _remove_empty(folder, (folder / path).parent)
    if settled != recorded:
        _write(folder / RECORD, _record(settled))


def _record(digests: Mapping[str, frozenset[str]]) -> bytes:
    rows = {path: sorted(known) if len(known) > 1 else next(iter(known)) for path, known in sorted(digests.items())}
    return json.dumps(rows, indent=1).encode() + b"\n"


def _recorded(folder: Path) -> _Recorded:
    """Return the record; it can be edited, so that only paths that stay inside the folder are believed."""
    try:
        found = json.loads(read_regular(folder / RECORD))
        rows = {path: frozenset([known] if isinstance(known, str) else known) for path, known in found.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
    return {path: known for path, known in rows.items() if _stays_inside(path)}


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    is_plain = path == "/".join(parts) and "\\" not in path and "\0" not in path
    return is_plain and bool(parts) and parts[0] != "/" and ".." not in parts and path != RECORD


def _require_no_links(folder: Path, paths: set[str]) -> None:
    parents = {parent for path in paths for parent in PurePosixPath(path).parents if parent.parts}
    links = sorted(str(parent) for parent in parents if (folder / parent).is_symlink())
    if links:
        raise RepositoryError(
            f"{', '.join(links)} is a link: what it points to is not ours to write",
            where=str(folder),
            hint="write to the folder itself, -o FOLDER; or remove the link",
        )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else ""
    except OSError:
        return "unreadable"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = _stage(path)
    stage.write_bytes(data)
    stage.replace(path)


def _stage(path: Path) -> Path:
    return path.with_name(f".{path.name}.stage")


def _remove_empty(folder: Path, parent: Path) -> None:
    """Remove folders that hold nothing any more, up to the folder of all."""
    while parent != folder and not any(parent.iterdir()):
        parent.rmdir()
        parent = parent.parent
