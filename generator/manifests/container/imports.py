"""What the Python models of a repository import beyond Python itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from tritonsmith.generator.checks.rules.python.environment import OF_THE_BACKEND, has_neighbour
from tritonsmith.generator.checks.rules.python.source import EXECUTION_ENV_PATH
from tritonsmith.generator.inspect.python_file import read_python
from tritonsmith.generator.repository.core import Model, Repository

CPU_ENGINE = "/llm/cpu/"  # of a model of the LLM API, which opens it where TensorRT-LLM is not installed


def imported_modules(repository: Repository, *, has_tensorrt_llm: bool) -> dict[str, set[str]]:
    """Return the modules that Python models need in the server's environment, each with the models that do.

    An import in `try` is not needed; a model that brings an environment of its own needs nothing.
    """
    needed: dict[str, set[str]] = {}
    for model in repository.models.values():
        for path, module in _of_model(model) if _uses_environment(model) else ():
            if not (has_tensorrt_llm and CPU_ENGINE in path):
                needed.setdefault(module, set()).add(model.name)
    return needed


def _uses_environment(model: Model) -> bool:
    config = model.config
    return config is not None and config.backend == "python" and EXECUTION_ENV_PATH not in config.parameters


def _of_model(model: Model) -> Iterator[tuple[str, str]]:
    for path, file in model.files.items():
        tree = read_python(file).tree if path.endswith(".py") else None
        for name in _imported(tree) if tree is not None else ():
            module = name.partition(".")[0]
            if not (
                module in sys.stdlib_module_names
                or module in OF_THE_BACKEND
                or has_neighbour(module, model, path.rpartition("/")[0])
                or has_neighbour(module, model, "")
            ):
                yield path, module


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a tree imports by name, but for what it only tries to."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif not isinstance(node, ast.Try):
            yield from _imported(node)
