"""The file of a Python model, read when a rule first asks, and once for all rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.inspect.python_file import PythonFile

if TYPE_CHECKING:
    import ast

# The parameter that names another Python environment. Source: python_backend: README.md.
EXECUTION_ENV_PATH = "EXECUTION_ENV_PATH"


def python_sources(model: ModelCase) -> Iterator[tuple[str, PythonFile]]:
    """Yield path and content of the model file in each version that is loaded, oldest first.

    Nothing for a model of another backend, and nothing for a version that lacks the file.
    """
    if model.config.backend != "python":
        return
    name = model.config.default_model_filename or "model.py"
    for version in model.versions:
        path = f"{version}/{name}"
        source = model.case.python_file(model.model, path)
        if source is not None:
            yield path, source


def python_tree(model: ModelCase) -> ast.Module | None:
    """Return the newest version's model file as a tree; None where there is none, or it cannot be read."""
    sources = [source for _, source in python_sources(model)]
    return sources[-1].tree if sources else None
