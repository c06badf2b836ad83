"""The file of a Python model, read when a rule first asks, and once for all rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.rules.python.flow import Function
from tritonsmith.generator.findings import Finding, Place
from tritonsmith.generator.inspect.python_file import PythonFile
from tritonsmith.generator.repository.complete_python import method, model_class
from tritonsmith.generator.repository.core import SourceFile

if TYPE_CHECKING:
    import ast

# The parameter that names another Python environment. Source: python_backend: README.md.
EXECUTION_ENV_PATH = "EXECUTION_ENV_PATH"


def python_sources(model: ModelCase) -> Sequence[tuple[str, PythonFile]]:
    """Return path and content of the model file in each version that is loaded, oldest first.

    None for a model of another backend, and none of a version that lacks the file.
    """
    return model.once(_sources) if model.config.backend == "python" else ()


def _sources(model: ModelCase) -> list[tuple[str, PythonFile]]:
    name = model.config.default_model_filename or "model.py"
    paths = [f"{version}/{name}" for version in model.versions]
    found = [(path, model.case.python_file(model.model, path)) for path in paths]
    return [(path, source) for path, source in found if source is not None]


def python_trees(model: ModelCase) -> Iterator[tuple[str, ast.Module]]:
    """Yield path and tree of each of them that can be read."""
    for path, source in python_sources(model):
        if source.tree is not None:
            yield path, source.tree


def methods_named(model: ModelCase, name: str) -> Iterator[tuple[str, Function]]:
    """Yield path and definition of a method in each of them whose class is told whole."""
    for path, tree in python_trees(model):
        owner = model_class(tree)
        if owner and (function := method(owner, name)):
            yield path, function


def place_in(model: ModelCase, path: str, line: int = 0, column: int = 0) -> Place:
    """Return a place in a file of a model's, by the file's path in the model's folder."""
    file = model.model.files.get(path)
    name = str(file.path) if isinstance(file, SourceFile) else f"{model.name}/{path}"
    return Place(name, line, column)


def in_file(model: ModelCase, path: str, node: ast.stmt | ast.expr, finding: Finding) -> Finding:
    """Return a finding of a model's as one at a node of its file."""
    return replace(finding, place=place_in(model, path, node.lineno, node.col_offset + 1))


def has_own_environment(model: ModelCase) -> bool:
    """Whether the model brings a Python environment of which nothing is known here."""
    parameters = model.config.parameters
    return EXECUTION_ENV_PATH in parameters and bool(parameters[EXECUTION_ENV_PATH].string_value)
