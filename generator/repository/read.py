"""Read any model repository, ours or not. Big files are not opened; what does not parse becomes a finding."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.repository.core import File, Model, Repository, SourceFile
from tritonsmith.generator.repository.exchange import build_lock, is_unfinished, recover
from tritonsmith.generator.repository.lock import Lock, read_lock
from tritonsmith.generator.repository.names import CONFIG_FILE
from tritonsmith.generator.repository.origins import find_origins
from tritonsmith.generator.repository.pbtxt import parse_config

# What `std::stoll` reads from the front of a folder's name is its version (core: filesystem/api.h, reference rule 6).
_VERSION = re.compile(r"[+-]?\d+")


def read_repository(path: Path) -> Repository:
    """Return the repository at `path`: a model for every folder whose name does not start with a dot.

    Symbolic links are followed, as Triton follows them; bytecode (`__pycache__`) is left out.

    Raises: RepositoryError where there is no model repository, or it cannot be read.
    """
    _finish_build(path)
    if not path.is_dir():
        said = "a file, not a folder" if path.exists() else "no such folder"
        raise RepositoryError(f"no model repository: {said}", where=str(path), hint="make one with tritonsmith build")
    try:
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
        models = {name: _read_model(path / name) for name in names}
    except OSError as problem:
        raise RepositoryError(
            f"cannot read the model repository: {problem.strerror}", where=str(problem.filename or path)
        ) from problem
    if not any(map(_looks_like_a_model, models.values())):
        raise _no_repository(path)
    lock = _lock_of(path)
    return Repository(lock.repository or path.resolve().name, models, lock.spec_digest, lock.settings)


def is_version_folder(name: str) -> bool:
    """Whether Triton takes a folder of this name in a model's folder for a version.

    Source: core: model_repository_manager.cc, reference rule 6: leading zeros are ignored with a warning, and a name
    that only starts with a number counts.
    """
    found = _VERSION.match(name)
    return found is not None and not (len(name) > 1 and name.startswith("0"))


def _finish_build(path: Path) -> None:
    """Finish what a killed build left half done; where that is not ours to write, what lies there is read."""
    root = Path(os.path.realpath(path))
    if is_unfinished(root):
        with suppress(OSError), build_lock(root):
            recover(root)


def _lock_of(path: Path) -> Lock:
    try:
        return read_lock(path)
    except (RepositoryError, OSError):  # reading needs no lock; writing says what is wrong with it
        return Lock()


def _no_repository(path: Path) -> RepositoryError:
    if (path / CONFIG_FILE).exists():
        return RepositoryError(
            "this is one model; a model repository is a folder of models", where=str(path), hint=f"use {path.parent}"
        )
    return RepositoryError(
        f"no model repository: no folder in it holds a {CONFIG_FILE} or a version folder like 1/",
        where=str(path),
        hint="make one with tritonsmith build",
    )


def _looks_like_a_model(model: Model) -> bool:
    versions = (folder for folder in model.folders if "/" not in folder and is_version_folder(folder))
    return model.config is not None or bool(model.findings) or any(versions)


def _read_model(folder: Path) -> Model:
    files: dict[str, File] = {}
    folders: list[str] = []
    state = folder.stat()
    for path, is_folder in _entries(str(folder), "", ((state.st_dev, state.st_ino),)):
        if is_folder:
            folders.append(path)
        elif path != CONFIG_FILE:
            files[path] = SourceFile(folder / path)
    name = folder.name
    found = _read_config(folder / CONFIG_FILE)
    if isinstance(found, str):
        config = parse_config(found, str(folder / CONFIG_FILE))
        if not isinstance(config, Finding):
            origins = find_origins(found, str(folder / CONFIG_FILE))
            return Model(name, config, dict(sorted(files.items())), tuple(sorted(folders)), origins=origins)
        found = config
    findings = (found,) if found else ()
    return Model(name, None, dict(sorted(files.items())), tuple(sorted(folders)), findings)


def _read_config(path: Path) -> str | Finding | None:
    """Return the configuration's text, or why it cannot be read; None where there is none."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except OSError as problem:
        return error(f"cannot read it: {problem.strerror}", Place(str(path)))
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        return error("not UTF-8 text", Place(str(path), line), remedy="save it as UTF-8")


def _entries(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, bool]]:
    """Yield (path, is a folder) for everything below a folder; a link to a folder above is not entered."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if not entry.is_dir():
                yield path, False
                continue
            state = entry.stat()
            identity = (state.st_dev, state.st_ino)
            if entry.name != "__pycache__" and identity not in above:
                yield path, True
                yield from _entries(entry.path, f"{path}/", (*above, identity))
