"""What lies at a path that a configuration gives: looked up in what was read of the repository, never on the disk."""

from __future__ import annotations

import enum
from pathlib import Path

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.repository.core import FolderFiles, Model


class Lies(enum.Enum):
    """What is at a path."""

    FILE = "file"
    FOLDER = "folder"
    NOTHING = "nothing"
    OUTSIDE = "outside"  # outside the repository, where nobody looks


def what_lies_at(case: Case, model: Model, path: str) -> tuple[Lies, bool]:
    """Return what lies at a path from a model's folder, and whether it is in the model's own folder.

    `..` is followed as the system follows it: out of folders that are there.
    """
    parts = [model.name]
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif not _is_folder(case, parts):
            return Lies.NOTHING, parts[:1] == [model.name]
        elif not parts:
            return Lies.OUTSIDE, False
        else:
            parts.pop()
    is_inside = parts[:1] == [model.name]
    if _is_folder(case, parts):
        return Lies.FOLDER, is_inside
    return (Lies.FILE if _is_file(case, parts) else Lies.NOTHING), is_inside


def _is_folder(case: Case, parts: list[str]) -> bool:
    if len(parts) < 2:
        return not parts or parts[0] in case.repository.models
    model = case.repository.models.get(parts[0])
    return model is not None and "/".join(parts[1:]) in model.folders


def _is_file(case: Case, parts: list[str]) -> bool:
    if len(parts) < 2:
        return bool(parts) and (parts[0] in case.repository.loose or parts[0] in case.repository.files)
    model = case.repository.models.get(parts[0])
    path = "/".join(parts[1:])
    return model is not None and (path in model.files or (path == "config.pbtxt" and model.config is not None))


def path_in_repository(model: ModelCase, path: str) -> str | None:
    """Return the model in whose folder the file at an absolute path lies, None where none holds it."""
    for name, other in model.case.repository.models.items():
        files = other.files
        if isinstance(files, FolderFiles) and path.startswith(folder := f"{Path(files.folder).absolute()}/"):
            return name if path.removeprefix(folder) in files else None
    return None
