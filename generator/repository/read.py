"""Read any model repository, ours or not. Big files are not opened; what does not parse becomes a finding."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.repository.core import File, Model, Repository, SourceFile
from tritonsmith.generator.repository.exchange import build_lock, is_unfinished, recover
from tritonsmith.generator.repository.lock import Lock, read_lock
from tritonsmith.generator.repository.names import CONFIG_FILE, versions_in
from tritonsmith.generator.repository.origins import Origins
from tritonsmith.generator.repository.pbtxt import parse_config
from tritonsmith.generator.repository.walk import BYTECODE, fault_of_link, walk, whole


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
        folders = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
        found = [read_model(folder) for folder in folders if folder.is_dir() or fault_of_link(folder)]
    except OSError as problem:
        raise RepositoryError(
            f"cannot read the model repository: {problem.strerror}", where=str(problem.filename or path)
        ) from problem
    if not any(map(_looks_like_a_model, found)):
        raise _no_repository(path)
    lock = _lock_of(path)
    models = {model.name: model for model in found}
    return Repository(lock.repository or path.resolve().name, models, lock.spec_digest, lock.settings)


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
    return model.config is not None or bool(model.findings) or bool(versions_in(model.folders))


def read_model(folder: Path) -> Model:
    """Return the model in a folder."""
    if fault := fault_of_link(folder):
        return Model(folder.name, None, findings=(error(f"the model's folder is {fault}", Place(str(folder))),))
    entries = list(walk(folder, {BYTECODE}))
    paths, faults = whole(entries)
    files: dict[str, File] = {path: SourceFile(folder / path) for path in sorted(paths) if path != CONFIG_FILE}
    folders = tuple(sorted(entry.path for entry in entries if entry.is_folder))
    model = Model(folder.name, None, files, folders, faults=faults)
    found = _read_config(folder / CONFIG_FILE)
    if isinstance(found, str):
        model = replace(model, text=found)
        config = parse_config(found, str(folder / CONFIG_FILE))
        if not isinstance(config, Finding):
            return replace(model, config=config, origins=Origins(found, str(folder / CONFIG_FILE)))
        found = config
    return replace(model, findings=(found,) if found else ())


def _read_config(path: Path) -> str | Finding | None:
    """Return the configuration's text, or why it cannot be read; None where there is none."""
    try:
        return read_regular(path).decode()
    except FileNotFoundError:
        return None
    except OSError as problem:
        return error(f"cannot read it: {problem.strerror}", Place(str(path)))
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        return error("not UTF-8 text", Place(str(path), line), remedy="save it as UTF-8")
