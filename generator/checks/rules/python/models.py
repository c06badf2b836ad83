"""Whether a Python model's file holds what the Python backend looks for in it; nothing of it is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import replace

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.python.flow import (
    RAISE_SELDOM,
    Function,
    bound_arguments,
    certain_failure,
    in_short,
    is_plain,
    missing_arguments,
)
from tritonsmith.generator.checks.rules.python.source import (
    has_own_environment,
    in_file,
    methods_named,
    place_in,
    python_sources,
    python_trees,
)
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.python_grammar import Version, may_be_newer
from tritonsmith.generator.repository.complete_python import CLASS, model_class

_NULL_BYTES = "null bytes"
_INITIALIZE = "write it as def initialize(self, args)"


@check(
    "TS800",
    "a Python model's file is called something.py",
    triton="Model name must end with '.py'. Model name is ...",
    on=("default_model_filename",),
)
def files_are_python(model: ModelCase) -> Iterator[Finding]:
    """The Python backend imports the file as a module, which needs the ending.

    Source: python_backend: src/pb_stub.cc (ModelContext::StubSetup).
    """
    name = model.config.default_model_filename
    if model.config.backend == "python" and name and name[-1] not in ".py":
        paths = [f"{version}/{name}" for version in model.versions]
        if not any(path in model.model.files or path in model.model.folders for path in paths):
            return  # a load that never ends
        message = f"default_model_filename '{name}' does not end with .py"
        yield model.error("default_model_filename", message, remedy="rename the file, as in model.py")


@check("TS801", "a Python model's file parses", triton="{syntax}: {text} ({name}, line {n})")
def files_parse(model: ModelCase) -> Iterator[Finding]:
    """The load fails with Python's own SyntaxError.

    A container's Python, or that of an environment which the model brings, may be newer than this one, which reads the
    file here: where the line may be of its grammar, it is a warning.

    Source: python_backend: src/pb_stub.cc (StubSetup imports the module).
    """
    for path, source in python_sources(model):
        if source.is_broken and _NULL_BYTES not in source.fault:
            message = f"{path} does not parse: {source.fault}"
            remedy = "mend it: python -m py_compile names the place too"
            if may_be_newer(source.line_at(source.line), source.fault, _python_of(model)):
                found = model.warning("", f"{message}; a newer Python than this one may read it", remedy=remedy)
            else:
                found = model.error("", message, remedy=remedy)
            yield replace(found, place=place_in(model, path, source.line, source.column))


def _python_of(model: ModelCase) -> Version | None:
    """Return the Python in which the model runs, None where that may be any."""
    if has_own_environment(model):
        return None
    return sys.version_info[:2] if model.target.is_embedded else model.target.release.python


@check(
    "TS802",
    "a Python model's file is text",
    triton="SyntaxError: source code string cannot contain null bytes",
)
def files_are_text(model: ModelCase) -> Iterator[Finding]:
    """A null byte is what a binary or half-written file has; Python refuses the file.

    Source: python_backend: src/pb_stub.cc (StubSetup imports the module).
    """
    for path, source in python_sources(model):
        if source.is_broken and _NULL_BYTES in source.fault:
            finding = model.error("", f"{path} holds null bytes: it is no Python source", remedy="copy it again")
            yield replace(finding, place=place_in(model, path))


@check(
    "TS803",
    "a Python model's file has the class TritonPythonModel",
    triton="AttributeError: module '{name}' has no attribute 'TritonPythonModel'",
)
def classes_exist(model: ModelCase) -> Iterator[Finding]:
    """The backend makes its instances of that class and of no other.

    Source: python_backend: src/pb_stub.cc (Stub::Initialize).
    """
    for path, tree in python_trees(model):
        if model_class(tree) is None and not _may_hold(tree, CLASS):
            message = f"{path} has no class {CLASS}"
            remedy = f"the class with execute(self, requests) is to be called {CLASS}"
            yield replace(model.error("", message, remedy=remedy), place=place_in(model, path))


@check("TS804", "a Python model's file can be imported", triton="{error}: {text}\\n\\nAt:\\n  {file}({n}): <module>...")
def modules_do_not_raise(model: ModelCase) -> Iterator[Finding]:
    """A statement that raises whenever the file is imported makes every load fail.

    Source: python_backend: src/pb_stub.cc (StubSetup imports the module).
    """
    for path, tree in python_trees(model):
        if statement := certain_failure(tree.body):
            message = f"{path} always fails when it is imported: {in_short(statement)}"
            yield in_file(model, path, statement, model.error("", message, remedy=RAISE_SELDOM))


@check(
    "TS805",
    "initialize does not always raise",
    triton="{error}: {text}\\n\\nAt:\\n  {file}({n}): initialize...",
)
def initialize_does_not_raise(model: ModelCase) -> Iterator[Finding]:
    """What initialize raises, the load fails with.

    Source: python_backend: src/pb_stub.cc (Stub::Initialize).
    """
    for path, function in methods_named(model, "initialize"):
        if (statement := certain_failure(function.body)) and is_plain(function):
            message = f"initialize always fails: {in_short(statement)}"
            yield in_file(model, path, statement, model.error("", message, remedy=RAISE_SELDOM))


@check(
    "TS806",
    "initialize takes one argument",
    triton="TypeError: TritonPythonModel.initialize() takes {text} given",
)
def initialize_takes_its_argument(model: ModelCase) -> Iterator[Finding]:
    """It is called as initialize(args), args being a dictionary of strings.

    Source: python_backend: src/pb_stub.cc (Stub::Initialize).
    """
    for path, function, missing in _calls(model, "initialize", 1):
        if missing < 0:
            message = "initialize takes no argument but self; it is given one"
            yield in_file(model, path, function, model.error("", message, remedy=_INITIALIZE))


@check(
    "TS807",
    "initialize needs no second argument",
    triton="TypeError: TritonPythonModel.initialize() missing {n} required positional {text}",
)
def initialize_needs_no_more(model: ModelCase) -> Iterator[Finding]:
    """It is called as initialize(args), args being a dictionary of strings.

    Source: python_backend: src/pb_stub.cc (Stub::Initialize).
    """
    for path, function, missing in _calls(model, "initialize", 1):
        if missing > 0:
            message = f"initialize needs {missing} more than it is given, which is args"
            yield in_file(model, path, function, model.error("", message, remedy=_INITIALIZE))


@check(
    "TS808",
    "the class of a Python model is made without arguments",
    triton="TypeError: TritonPythonModel.__init__() missing {n} required positional {text}",
)
def classes_are_made_without_arguments(model: ModelCase) -> Iterator[Finding]:
    """The configuration is given to initialize; the class itself is called with nothing.

    Source: python_backend: src/pb_stub.cc (Stub::Initialize).
    """
    for path, function, missing in _calls(model, "__init__", 0):
        if missing > 0:
            message = f"__init__ needs {missing} beside self; {CLASS} is made without arguments"
            remedy = "take what is needed from the args of initialize(self, args)"
            yield in_file(model, path, function, model.error("", message, remedy=remedy))


def _calls(model: ModelCase, name: str, given: int) -> Iterator[tuple[str, Function, int]]:
    """Yield a method and how many arguments Triton's call of it lacks, or, below 0, has too many."""
    for path, function in methods_named(model, name):
        brought = bound_arguments(function, given)
        if brought is not None:
            yield path, function, missing_arguments(function, brought)


def _may_hold(tree: ast.Module, name: str) -> bool:
    """Whether a module may have a name by whatever means: a definition, an import, an assignment, or a trick."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.Name, ast.alias, ast.Constant, ast.Attribute)):
            said = (getattr(node, key, None) for key in ("name", "asname", "id", "value", "attr"))
            if any(isinstance(word, str) and word in (name, "*", "__getattr__", "exec", "globals") for word in said):
                return True
    return False
