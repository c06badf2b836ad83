"""What a Python model's `auto_complete_config` does, followed statement by statement without running any of it.

Followed is what such functions are written with: literals, local names, loops over lists, comparisons. Whatever goes
beyond that (a file read, a call of the model's own) leaves open what it would do.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tritonsmith.generator.inspect.python_config import PythonConfig, RefusalError

_MOST_STEPS = 5_000
_LONGEST = 10_000  # of a text or a list
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_COMPUTE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.FloorDiv: operator.floordiv,
}
# Methods of lists and dicts that only look, or fill what the function itself made.
_METHODS: dict[type, tuple[str, ...]] = {list: ("append", "extend"), dict: ("get", "keys", "values", "items")}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"len": len, "int": int, "str": str, "bool": bool, "list": list}
_SILENT = ("print", "logging", "logger")  # calls by which nothing changes


class OpenError(Exception):
    """Raised where what a statement does cannot be told without running it."""


@dataclass(frozen=True)
class Refusal:
    """Why the function's own call is refused: the rule, what is wrong, and the line."""

    rule: str
    message: str
    line: int


class _ReturnError(Exception):
    """Carries a returned value out of the statements."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def follow(function: ast.FunctionDef, constants: dict[str, Any], config: PythonConfig) -> Refusal | None:
    """Do to `config` what the function does to its argument, its last one; return why Triton refuses, if it does.

    Raises: OpenError where it cannot be told.
    """
    run = _Run({**constants, function.args.args[-1].arg: config}, config)
    try:
        run.block(function.body)
    except _ReturnError as returned:
        return None if returned.value is config else _no_config(function)
    except RefusalError as refusal:
        return Refusal(refusal.rule, refusal.message, run.line)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as problem:
        raise OpenError from problem
    return _no_config(function)


def constants_of(tree: ast.Module) -> dict[str, Any]:
    """Return the module's names that are literals, and stay so."""
    found: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(statement.value)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    found.pop(target.id, None)
    return found


def _no_config(function: ast.FunctionDef) -> Refusal:
    return Refusal("return", "auto_complete_config does not return the configuration", function.lineno)


class _Run:
    """The names of a function while it is followed."""

    def __init__(self, names: dict[str, Any], config: PythonConfig) -> None:
        self.names = names
        self.config = config
        self.line = 0
        self.steps = 0

    def block(self, statements: Iterable[ast.stmt]) -> None:
        """Follow statements in order.

        Raises: _ReturnError, RefusalError, OpenError.
        """
        for statement in statements:
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise OpenError
            self.line = statement.lineno
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Expr):
            if not _is_silent(statement.value):
                self.value(statement.value)
        elif isinstance(statement, ast.Assign):
            value = self.value(statement.value)
            for target in statement.targets:
                self._assign(target, value)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self._assign(statement.target, self.value(statement.value))
        elif isinstance(statement, ast.For) and not statement.orelse:
            for item in list(self.value(statement.iter)):
                self._assign(statement.target, item)
                self.block(statement.body)
        elif isinstance(statement, ast.If):
            self.block(statement.body if self.value(statement.test) else statement.orelse)
        elif isinstance(statement, ast.Return):
            raise _ReturnError(self.value(statement.value) if statement.value else None)
        elif not isinstance(statement, ast.Pass):
            raise OpenError

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Subscript):
            container = self.value(target.value)
            if not isinstance(container, dict) or container is self.config.fields:
                raise OpenError
            container[self.value(target.slice)] = value
        elif isinstance(target, ast.Tuple):
            values = list(value)
            if len(values) != len(target.elts):
                raise OpenError
            for part, item in zip(target.elts, values, strict=True):
                self._assign(part, item)
        else:
            raise OpenError

    def value(self, node: ast.expr) -> Any:
        """Return an expression's value.

        Raises: OpenError where it is not one of those that are followed.
        """
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id in self.names:
            return self.names[node.id]
        if isinstance(node, (ast.List, ast.Tuple)):
            made = [self.value(item) for item in node.elts]
            return made if isinstance(node, ast.List) else tuple(made)
        if isinstance(node, ast.Dict):
            return {self._key(key): self.value(item) for key, item in zip(node.keys, node.values, strict=True)}
        if isinstance(node, ast.Subscript):
            return self.value(node.value)[self.value(node.slice)]
        if isinstance(node, ast.Call):
            return self._call(node)
        return self._computed(node)

    def _key(self, key: ast.expr | None) -> Any:
        if key is None:  # {**other}
            raise OpenError
        return self.value(key)

    def _computed(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Compare):
            values = [self.value(part) for part in (node.left, *node.comparators)]
            pairs = zip(node.ops, values, values[1:], strict=False)
            return all(_COMPARE[type(how)](left, right) for how, left, right in pairs)
        if isinstance(node, ast.BoolOp):
            parts = (self.value(part) for part in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            value = self.value(node.operand)
            return not value if isinstance(node.op, ast.Not) else -value
        if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTE:
            return _bounded(_COMPUTE[type(node.op)](self.value(node.left), self.value(node.right)))
        if isinstance(node, ast.JoinedStr):
            return _bounded("".join(self._part(part) for part in node.values))
        if isinstance(node, ast.ListComp) and len(node.generators) == 1:
            return list(self._comprehended(node))
        raise OpenError

    def _part(self, part: ast.expr) -> str:
        if isinstance(part, ast.FormattedValue) and part.format_spec is None and part.conversion == -1:
            return str(self.value(part.value))
        return str(self.value(part))

    def _comprehended(self, node: ast.ListComp) -> Iterator[Any]:
        loop = node.generators[0]
        for item in list(self.value(loop.iter)):
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise OpenError
            self._assign(loop.target, item)
            if all(self.value(test) for test in loop.ifs):
                yield self.value(node.elt)

    def _call(self, node: ast.Call) -> Any:
        given = [self.value(argument) for argument in node.args]
        named = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg}
        if len(named) != len(node.keywords):
            raise OpenError
        if isinstance(node.func, ast.Name) and node.func.id not in self.names:
            return _built_in(node.func.id, given, named)
        if not isinstance(node.func, ast.Attribute):
            raise OpenError
        return self._method(self.value(node.func.value), node.func.attr, [*given, *named.values()])

    def _method(self, value: Any, name: str, given: list[Any]) -> Any:
        if isinstance(value, PythonConfig):
            if name == "as_dict" and not given:
                return value.fields
            if name == "set_dynamic_batching" and not given:
                return value.set_dynamic_batching()
            if name in value.methods() and len(given) == 1:
                return value.methods()[name](given[0])
        elif name in _METHODS.get(type(value), ()):
            return _bounded(getattr(value, name)(*given), value)
        raise OpenError


def _built_in(name: str, given: list[Any], named: dict[str, Any]) -> Any:
    if name == "dict" and not given:
        return named
    if name in _FUNCTIONS and not named and not any(isinstance(value, PythonConfig) for value in given):
        return _FUNCTIONS[name](*given)
    raise OpenError


def _bounded(result: Any, container: Any = None) -> Any:
    for value in (result, container):
        if isinstance(value, (str, list)) and len(value) > _LONGEST:
            raise OpenError
    return result


def _is_silent(node: ast.expr) -> bool:
    """Whether it is a call that only writes to a log."""
    if not isinstance(node, ast.Call):
        return False
    root: ast.expr = node.func
    parts = []
    while isinstance(root, ast.Attribute):
        parts.append(root.attr)
        root = root.value
    return isinstance(root, ast.Name) and (root.id in _SILENT or "Logger" in parts)
