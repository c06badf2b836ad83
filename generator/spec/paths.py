"""Paths that a spec names, relative to its own folder: what is wrong with one, in words."""

from __future__ import annotations

import stat
from pathlib import Path

from tritonsmith.generator.suggest import did_you_mean


def path_problem(path: Path, text: str) -> str:
    """Return why nothing can be read at a path that was written as `text`; empty where something is there."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as problem:  # ValueError: a zero byte
        return _why_missing(path, text, problem)
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else f"'{text}' is neither a file nor a folder"


def folder_problem(path: Path, text: str) -> str:
    """Return why a path is no folder; empty where it is one."""
    return path_problem(path, text) or ("" if path.is_dir() else f"'{text}' is a file, not a folder")


def _why_missing(path: Path, text: str, problem: OSError | ValueError) -> str:
    if not isinstance(problem, FileNotFoundError):
        return f"cannot read {text!r}: {problem.strerror if isinstance(problem, OSError) else problem}"
    if path.is_symlink():
        return f"'{text}' is a link to nothing"
    beside = path.parent.glob("*") if path.parent.is_dir() else ()
    return f"there is no file '{text}'.{did_you_mean(path.name, (other.name for other in beside))}"
