"""A folder of generated files: written whole, never over what somebody edited since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.files import read_regular

RECORD = ".tritonsmith.json"  # what we wrote, by hash; a folder's own lock


def write_folder(folder: Path, files: Mapping[str, bytes], *, is_forced: bool = False) -> list[str]:
    """Write files, by path relative to the folder, and return those that changed; files of ours that went are removed.

    Nothing is written unless all can be: what was edited since, or is not ours, is named instead.

    Raises: RepositoryError that names what would be lost; UsageError where the disk does not take it.
    """
    recorded = _recorded(folder)
    present = {path: _digest(folder / path) for path in {*files, *recorded}}
    wanted = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    lost = [path for path, now in present.items() if now and now not in (recorded.get(path), wanted.get(path))]
    if lost and not is_forced:
        raise RepositoryError(
            f"{', '.join(sorted(lost))} would be lost: edited since, or not written by tritonsmith",
            where=str(folder),
            hint="keep changes in an overlay of your own; or --force to overwrite",
        )
    changed = sorted(path for path, digest in wanted.items() if present[path] != digest)
    try:
        for path in changed:
            _write(folder / path, files[path])
        for path in recorded.keys() - files.keys():
            (folder / path).unlink(missing_ok=True)
        _write(folder / RECORD, json.dumps(dict(sorted(wanted.items())), indent=1).encode() + b"\n")
    except OSError as problem:
        raise UsageError(f"cannot write {problem.filename or folder}: {problem.strerror}") from None
    return changed


def _recorded(folder: Path) -> dict[str, str]:
    try:
        found = json.loads(read_regular(folder / RECORD))
        return {
            path: digest for path, digest in found.items() if isinstance(digest, str) and ".." not in Path(path).parts
        }
    except (OSError, ValueError, AttributeError):
        return {}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError:
        return "unreadable"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_name(f".{path.name}.stage")
    stage.write_bytes(data)
    stage.replace(path)
