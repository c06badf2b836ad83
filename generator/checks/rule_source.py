"""What a rule's own source says of its findings: their severities, and a remedy as an example."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

from tritonsmith.generator.findings import Severity
from tritonsmith.generator.suggest import did_you_mean

_SEVERITIES = {severity.value: severity for severity in Severity}
_REMEDIES = ("remedy", "hint")
_OURS = "tritonsmith.generator.checks"


@dataclass(frozen=True)
class Told:
    """What a rule tells: its severities, the gravest first, and the first of its remedies, empty where it has none."""

    severities: tuple[Severity, ...]
    remedy: str


def told_by(rule: Callable[..., Any]) -> Told:
    """Return what a rule tells, read from its function and from the checks' other functions that it leads to."""
    names: set[str] = set()
    remedies: list[str] = []
    for function, known in _functions(rule):
        nodes = list(ast.walk(function))
        names |= {_name(node.func) for node in nodes if isinstance(node, ast.Call)}
        remedies += _remedies(nodes, known)
    severities = tuple(severity for name, severity in _SEVERITIES.items() if name in names)
    # what a rule only passes on, such as what reading a file found, are errors
    return Told(severities or (Severity.ERROR,), next(iter(remedies), ""))


def _functions(rule: Callable[..., Any]) -> Iterator[tuple[ast.AST, Mapping[str, Any]]]:
    """Yield a rule's function, each of the checks' own that it leads to, and what the names in each stand for."""
    waiting = [inspect.unwrap(rule)]
    seen: set[Callable[..., Any]] = set()
    while waiting:
        function = waiting.pop(0)
        if function in seen or not isinstance(function, FunctionType) or not function.__module__.startswith(_OURS):
            continue
        seen.add(function)
        node = _definition(function)
        known = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        yield node, known
        names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        waiting += [inspect.unwrap(found) for name in names if callable(found := known.get(name))]


def _definition(function: FunctionType) -> ast.AST:
    module = inspect.getmodule(function)
    definitions = _definitions(module) if module else {}
    return definitions.get(function.__code__.co_firstlineno, ast.Pass())


@cache
def _definitions(module: ModuleType) -> dict[int, ast.AST]:
    """Return the functions of a module by their first line, decorators included."""
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return {min([node.lineno, *(one.lineno for one in node.decorator_list)]): node for node in functions}


def _remedies(nodes: list[ast.AST], known: Mapping[str, Any]) -> Iterator[str]:
    for node in nodes:
        if (value := _remedy(node)) is not None and (text := _text(value, known)):
            yield text


def _remedy(node: ast.AST) -> ast.expr | None:
    """Return what a node gives as a remedy: by that name, or by position, as an LLM's `error` takes it."""
    if isinstance(node, ast.Call) and _name(node.func) in _SEVERITIES:
        return node.args[2] if len(node.args) > 2 else None
    if isinstance(node, ast.keyword):
        return node.value if node.arg in _REMEDIES else None
    return node.value if isinstance(node, ast.Assign) and _name(node.targets[0]) in _REMEDIES else None


def _text(node: ast.expr, known: Mapping[str, Any]) -> str:
    """Return a string as written, constants by their value, a word such as `<name>` for what else is filled in.

    Empty where it is no string.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and isinstance(known.get(node.id), str):
        return str(known[node.id])
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.FormattedValue) else part for part in node.values)
        return "".join(str(part.value) if isinstance(part, ast.Constant) else _filled(part, known) for part in parts)
    return ""


def _filled(node: ast.expr, known: Mapping[str, Any]) -> str:
    if isinstance(node, ast.Call):
        return "" if _name(node.func) == did_you_mean.__name__ else "..."
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        values = known.get(_name(node.value))
        return str(values[node.slice.value]) if values else "..."
    name = _name(node)
    if name.isupper() and name in known:
        return str(known[name])
    return f"<{name.strip('_').replace('_', ' ')}>" if name else "..."


def _name(node: ast.expr) -> str:
    """Return the last part of a dotted name, empty of what has none."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
