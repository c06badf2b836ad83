"""Whether what a Python model imports is there."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritonsmith.generator.catalog.releases import EMBEDDED
from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.python.environment import has_module, has_neighbour
from tritonsmith.generator.checks.rules.python.flow import certain_imports, is_plain
from tritonsmith.generator.checks.rules.python.source import has_own_environment, in_file, python_trees
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.python_file import LARGEST_FILE_BYTES, read_source
from tritonsmith.generator.repository.complete_python import method, model_class
from tritonsmith.generator.repository.core import File

# By these a module may have names that its text does not show.
_MAKES_NAMES = re.compile(
    rb"import\s*\(?\s*\*|__getattr__|__dict__|globals|locals|vars|exec|setattr|sys\.modules|coding[:=]"
)


@dataclass(frozen=True)
class _Imported:
    """A module that is imported whenever the model is loaded; `level` counts the dots of a relative import."""

    path: str  # of the file, in the model's folder
    statement: ast.Import | ast.ImportFrom
    module: str
    level: int
    names: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The folder of the file: what one dot means."""
        return self.path.rpartition("/")[0]


@check(
    "TS810",
    "the modules that a Python model imports are installed",
    triton="ModuleNotFoundError: No module named '{name}'{traced}...",
)
def modules_are_installed(model: ModelCase) -> Iterator[Finding]:
    """The load fails with ModuleNotFoundError.

    Looked for is what is imported whenever the model is loaded (not in `try`, in a condition or in a function that may
    not be called) beside the model's file, in its folder, and in the environment that tritonsmith itself runs in, which
    is the embedded server's. Of a container's environment, or one that EXECUTION_ENV_PATH names, nothing is known: a
    note at most.

    Source: python_backend: src/pb_stub.cc (StubSetup), triton-config rule 100 and F19.
    """
    for imported in _imports(model):
        if imported.level == 0 and not has_module(imported.module, model.model, imported.folder):
            name = imported.module.partition(".")[0]
            if _is_told_elsewhere(model, imported.path):
                continue
            if model.target.release.name == EMBEDDED and not model.target.gpus:
                finding = model.error("", f"there is no module '{name}'", remedy=f"install it, or add {name}.py")
            else:
                said = f"module '{name}' is not installed here; the server's environment must have it"
                finding = model.note("", said, remedy="EXECUTION_ENV_PATH brings a model its own environment")
            yield in_file(model, imported.path, imported.statement, finding)
        elif imported.level == 1 and imported.module:
            name = imported.module.partition(".")[0]
            if not has_neighbour(name, model.model, imported.folder):
                message = f"{imported.folder} has no module '{name}'"
                remedy = f"add {model.name}/{imported.folder}/{name}.py"
                yield in_file(model, imported.path, imported.statement, model.error("", message, remedy=remedy))


@check(
    "TS811",
    "the neighbours that a Python model imports are there",
    triton="ImportError: cannot import name '{name}' from '{n}' (unknown location)...",
)
def neighbours_exist(model: ModelCase) -> Iterator[Finding]:
    """`from . import x` looks for x beside the model's file, in its version folder.

    Source: python_backend: src/pb_stub.cc (StubSetup: the version folder is the package).
    """
    for imported in _imports(model):
        if imported.level == 1 and not imported.module and f"{imported.folder}/__init__.py" not in model.model.files:
            for name in imported.names:
                if name != "*" and not has_neighbour(name, model.model, imported.folder):
                    message = f"{imported.folder} has no module '{name}'"
                    remedy = f"add {model.name}/{imported.folder}/{name}.py"
                    yield in_file(model, imported.path, imported.statement, model.error("", message, remedy=remedy))


@check(
    "TS812",
    "a Python model imports nothing from above its version folder by dots",
    triton="ImportError: attempted relative import beyond top-level package...",
)
def imports_stay_in_the_version(model: ModelCase) -> Iterator[Finding]:
    """The version folder is the top: two dots lead out of it.

    What lies in the model's folder is found by its bare name (`import x`).

    Source: python_backend: src/pb_stub.cc (StubSetup).
    """
    for imported in _imports(model):
        if imported.level > 1:
            message = f"'{ast.unparse(imported.statement)}' leads out of the version folder"
            remedy = "put the module beside the model's file, or import it by its bare name from the model's folder"
            yield in_file(model, imported.path, imported.statement, model.error("", message, remedy=remedy))


@check("TS813", "what a Python model imports is not hidden by a module of Python's own")
def neighbours_are_not_hidden(model: ModelCase) -> Iterator[Finding]:
    """The version folder comes last on the search path: a json.py in it is never imported by its bare name.

    Source: python_backend: src/pb_stub.cc (StubSetup appends to sys.path).
    """
    for path, tree in python_trees(model):
        folder = path.rpartition("/")[0]
        for statement in tree.body:
            for alias in statement.names if isinstance(statement, ast.Import) else ():
                if alias.name in sys.stdlib_module_names and f"{folder}/{alias.name}.py" in model.model.files:
                    message = f"'import {alias.name}' imports Python's own module, not {folder}/{alias.name}.py"
                    remedy = f"from . import {alias.name}, or give the file a name of its own"
                    yield in_file(model, path, statement, model.warning("", message, remedy=remedy))


@check(
    "TS814",
    "what a Python model takes from its neighbours is in them",
    triton="ImportError: cannot import name '{name}' from '{n}.{name}' ({path})...",
)
def names_are_in_neighbours(model: ModelCase) -> Iterator[Finding]:
    """`from .x import y` fails the load where x.py has no y.

    A name counts as there where the neighbour's text has the word at all, or makes names by other means.

    Source: python_backend: src/pb_stub.cc (StubSetup imports the module).
    """
    for imported in _imports(model):
        path = f"{imported.folder}/{imported.module}.py"
        if imported.level == 1 and path in model.model.files:
            for name in imported.names:
                if name != "*" and not _may_have(model.model.files[path], name):
                    message = f"{path} has no '{name}'"
                    finding = model.error("", message, remedy="add it there, or take away the import")
                    yield in_file(model, imported.path, imported.statement, finding)


def _may_have(file: File, name: str) -> bool:
    if not name.isascii():  # of such names Python knows several spellings
        return True
    try:
        source = read_source(file)
    except OSError:
        return True
    words = rb"\b" + re.escape(name.encode()) + rb"\b"
    return (
        len(source) > LARGEST_FILE_BYTES
        or re.search(words, source) is not None
        or _MAKES_NAMES.search(source) is not None
    )


def _imports(model: ModelCase) -> Sequence[_Imported]:
    return model.once(_all_imports) if model.config.backend == "python" else ()


def _all_imports(model: ModelCase) -> list[_Imported]:
    return list(_imports_in(model))


def _imports_in(model: ModelCase) -> Iterator[_Imported]:
    """Yield what is imported for certain in each version: by the file, and by initialize."""
    for path, tree in python_trees(model):
        if path.count("/") > 1:
            continue  # a file in a folder of its own: which package it is depends on the path
        statements = certain_imports(tree.body)
        owner = model_class(tree)
        function = method(owner, "initialize") if owner else None
        if function and (inner := certain_imports(function.body)) and is_plain(function):
            statements += inner
        for statement in statements:
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    yield _Imported(path, statement, alias.name, 0)
            else:
                names = tuple(alias.name for alias in statement.names)
                yield _Imported(path, statement, statement.module or "", statement.level, names)


def _is_told_elsewhere(model: ModelCase, path: str) -> bool:
    """Whether the model decides itself where modules come from: its own environment, or an edited search path."""
    if has_own_environment(model):
        return True
    tree = dict(python_trees(model))[path]
    edited = ("path", "meta_path", "modules", "path_hooks", "addsitedir")
    return any(
        isinstance(node, ast.Attribute) and node.attr in edited and _is_of(node, "sys", "site")
        for node in ast.walk(tree)
    )


def _is_of(node: ast.Attribute, *modules: str) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in modules
