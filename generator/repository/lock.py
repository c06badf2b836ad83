"""tritonsmith.lock: what a build wrote, so that the next one knows what is ours and what was edited since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.repository.states import FileState

FORMAT = 1


@dataclass(frozen=True)
class Lock:
    """The files that a build wrote, by path relative to the repository's root; `settings` is the repository's."""

    files: Mapping[str, FileState] = field(default_factory=dict)
    repository: str = ""
    spec_digest: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def render_lock(lock: Lock) -> bytes:
    """Return the lock as JSON: a line per file, sorted, no times, so that equal builds give equal bytes."""
    files = ",\n".join(f"  {json.dumps(path)}: {_entry(state)}" for path, state in sorted(lock.files.items()))
    head = {
        "format": FORMAT,
        "repository": lock.repository,
        "spec_sha256": lock.spec_digest,
        "written_by": f"tritonsmith {_our_version()}",
    } | ({"settings": lock.settings} if lock.settings else {})
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    return f'{{\n{lines},\n "files": {{\n{files}\n }}\n}}\n'.encode()


def read_lock(root: Path) -> Lock:
    """Return the repository's lock, an empty one where it has none.

    Raises: RepositoryError where it cannot be understood.
    """
    path = root / LOCK_FILE
    try:
        found = json.loads(read_regular(path))
        if found["format"] > FORMAT:
            raise RepositoryError(
                f"the lock has format {found['format']}; this tritonsmith knows {FORMAT}",
                where=str(path),
                hint=f"use the version that wrote it or a newer one ({found.get('written_by', 'unknown')})",
            )
        files = {name: _state(entry) for name, entry in found["files"].items()}
        return Lock(files, found["repository"], found["spec_sha256"], found.get("settings", {}))
    except FileNotFoundError:
        return Lock()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RepositoryError(
            "the lock cannot be understood, so what is ours in this repository is unknown",
            where=str(path),
            hint="restore it, for example from git; or use --force to overwrite every file of the same name",
        ) from None


@cache
def _our_version() -> str:
    return version("tritonsmith")


def _entry(state: FileState) -> str:
    if state.link:
        return json.dumps({"link": state.link})
    return f'{{"sha256": "{state.sha256}", "size": {state.size}}}'


def _state(entry: Mapping[str, Any]) -> FileState:
    return FileState(0, "", entry["link"]) if "link" in entry else FileState(int(entry["size"]), str(entry["sha256"]))
