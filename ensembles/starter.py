"""What `init` writes: a commented spec from a blueprint with its demo, or the spec of a repository that exists."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tritonsmith.ensembles.blueprint import Blueprint
from tritonsmith.generator.errors import UsageError

_DEMO = "demo"


def write_starter(blueprint: Blueprint, spec: Path) -> list[Path]:
    """Write the blueprint's spec to `spec` and its demo files beside it; return what was written.

    Raises: UsageError where something of that name is there already, or cannot be written; nothing is written then.
    """
    demo = blueprint.folder / _DEMO
    target = spec.parent / _DEMO
    refuse_existing([spec, target])
    with writing(spec):
        spec.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".init-", dir=spec.parent) as stage:
            shutil.copytree(demo, Path(stage, _DEMO), ignore=shutil.ignore_patterns("__pycache__"))
            Path(stage, _DEMO).rename(target)
        write_new(spec, (blueprint.folder / "spec.yaml").read_text(encoding="utf-8"))
    return [spec, *sorted(path for path in target.rglob("*") if path.is_file())]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise UsageError where what is done to write a path fails: no permission, a file for a folder, a full disk."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or problem
        raise UsageError(
            f"cannot write '{path}': {reason}", hint="init --output DIR/NAME.yaml writes elsewhere"
        ) from None


def refuse_existing(paths: Sequence[Path]) -> None:
    """Raise UsageError where one of the paths exists."""
    for path in paths:
        if os.path.lexists(path):  # a link to nothing too
            raise UsageError(
                f"'{path}' exists already",
                hint="move it away, or start in an empty folder: init --output DIR/NAME.yaml",
            )


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
