"""Read any model repository, ours or not. Big files are not opened; what does not parse becomes a finding."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import open_regular, printable
from tritonsmith.generator.findings import Finding, Phase, Place, error, warning
from tritonsmith.generator.repository.core import FolderFiles, Model, Repository
from tritonsmith.generator.repository.exchange import build_lock, is_unfinished, recover
from tritonsmith.generator.repository.lock import Lock, read_lock
from tritonsmith.generator.repository.names import CONFIG_FILE, versions_in
from tritonsmith.generator.repository.origins import Origins
from tritonsmith.generator.repository.pbtxt import parse_config
from tritonsmith.generator.repository.walk import BYTECODE, fault_of_link, walk, whole
from tritonsmith.generator.spec.locked import are_settings

LARGEST_CONFIG_BYTES = 16 << 20  # a thousand times what people write; reading takes about half a second a megabyte


def read_repository(path: Path) -> Repository:
    """Return the repository at `path`: a model for every folder whose name does not start with a dot.

    Symbolic links are followed, as Triton follows them; bytecode (`__pycache__`) is left out. A folder whose name is
    not UTF-8 is a model with a fault, called by its name in escapes.

    Raises: RepositoryError where there is no model repository, or it cannot be read.
    """
    _finish_build(path)
    if not path.is_dir():
        said = "a file, not a folder" if path.exists() else "no such folder"
        raise RepositoryError(f"no model repository: {said}", where=str(path), hint="make one with tritonsmith build")
    try:
        with os.scandir(path) as opened:
            entries = sorted(opened, key=lambda entry: entry.name)
        folders = [
            entry.path
            for entry in entries
            if not entry.name.startswith(".") and (entry.is_dir() or fault_of_link(Path(entry.path)))
        ]
        found = [_model_at(folder) for folder in folders]
    except OSError as problem:
        raise RepositoryError(
            f"cannot read the model repository: {problem.strerror}", where=str(problem.filename or path)
        ) from problem
    if not any(map(_looks_like_a_model, found)):
        raise _no_repository(path)
    lock = _lock_of(path)
    models = {model.name: model for model in found}
    loose = frozenset(entry.name for entry in entries) - models.keys()
    name = lock.repository or printable(path.resolve().name)
    return Repository(name, models, lock.spec_digest, lock.settings, loose=loose)


def _finish_build(path: Path) -> None:
    """Finish what a killed build left half done; where that is not ours to write, what lies there is read."""
    root = Path(os.path.realpath(path))
    if is_unfinished(root):
        with suppress(OSError), build_lock(root):
            recover(root)


def _lock_of(path: Path) -> Lock:
    try:
        lock = read_lock(path)
    except (RepositoryError, OSError):  # reading needs no lock; writing says what is wrong with it
        return Lock()
    return lock if are_settings(lock.settings) else replace(lock, settings={})


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
    return _model_at(str(folder))


def _model_at(folder: str) -> Model:
    name, config_file = folder.rpartition("/")[2], f"{folder}/{CONFIG_FILE}"
    if printable(name) != name:  # no request, protobuf's strings are UTF-8, can name it
        return _faulty(printable(name), folder, "called by bytes that are not UTF-8")
    entries = list(walk(folder, (BYTECODE,)))
    if entries and not entries[0].path and (fault := fault_of_link(Path(folder))):
        return _faulty(name, folder, fault)
    paths, faults = whole(entries)
    files = FolderFiles(folder, tuple(sorted(path for path in paths if path != CONFIG_FILE)))
    folders = tuple(sorted([entry.path for entry in entries if entry.is_folder]))
    found = _read_config(config_file)
    if isinstance(found, Finding) or found is None:
        place = {"": Place(config_file if found else folder)}
        return Model(name, None, files, folders, (found,) if found else (), place, faults)
    text, findings = found
    config = parse_config(text, config_file)
    if isinstance(config, tuple):
        return Model(name, None, files, folders, (*findings, *config), {"": Place(config_file)}, faults, text)
    return Model(name, config, files, folders, findings, Origins(text, config_file), faults, text)


def _faulty(name: str, folder: str, fault: str) -> Model:
    place = Place(folder)
    found = error(f"the model's folder is {fault}", place)
    return Model(name, None, findings=(found,), origins={"": place}, faults={"": fault})


def _read_config(path: str) -> tuple[str, tuple[Finding, ...]] | Finding | None:
    """Return the configuration's text and what may be said of it, or why it cannot be read; None where there is none.

    Triton reads bytes: what is not UTF-8 is refused outside strings and comments alone, and stays in the text as
    `surrogateescape` has it.
    """
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return None
    except IsADirectoryError:  # the size that it has is taken for a text's: std::length_error
        return replace(error("it is a folder; Triton ends where it reads it", Place(path)), phase=Phase.CRASH)
    except OSError as problem:
        found = error(f"cannot read it: {problem.strerror}", Place(path))
        return replace(found, phase=Phase.HANG) if Path(path).is_fifo() else found  # Triton waits for a writer
    if len(data) > LARGEST_CONFIG_BYTES:
        message = f"more than {LARGEST_CONFIG_BYTES:,} bytes: it was not read, and nothing more is said of the model"
        return warning(message, Place(path), remedy="take out what no server reads")
    try:
        return data.decode(), ()
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        found = warning("not UTF-8 text", Place(path, line), remedy="save it as UTF-8")
        return data.decode(errors="surrogateescape"), (found,)
