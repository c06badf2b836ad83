"""What of a Python model's code certainly runs, and what a call of its methods must bring."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

Function = ast.FunctionDef | ast.AsyncFunctionDef
RAISE_SELDOM = "raise only where something is wrong"
_OWN_BODY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def certain_imports(body: Sequence[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """Return the imports that are made each time a body is run."""
    found = [(at, node) for at, node in enumerate(body) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [node for at, node in found if not _may_end_before(body, at)] if found else []


def certain_failure(body: Sequence[ast.stmt]) -> ast.stmt | None:
    """Return the statement by which a body fails each time it is run, None where it may not."""
    for at, statement in enumerate(body):
        if _fails(statement):
            return None if _may_end_before(body, at) else statement
    return None


def _fails(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assert):
        return isinstance(statement.test, ast.Constant) and not statement.test.value
    return isinstance(statement, ast.Raise) or _exits(statement)


def _may_end_before(body: Sequence[ast.stmt], at: int) -> bool:
    """Whether a body may be left, or has been, before one of its statements."""
    return any(isinstance(node, (ast.Return, ast.Raise)) for node in body[:at]) or any(
        isinstance(node, ast.Return) for node in own_nodes(node for node in body[:at] if hasattr(node, "body"))
    )


def is_plain(function: Function) -> bool:
    """Whether a call runs the function's body: no generator, no coroutine, nothing that decorates it."""
    if isinstance(function, ast.AsyncFunctionDef) or function.decorator_list:
        return False
    return not any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own_nodes(function.body))


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield every node of a body but those inside functions and classes that it defines."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _OWN_BODY):
            waiting.extend(ast.iter_child_nodes(node))


def missing_arguments(function: Function, given: int) -> int:
    """Return how many arguments a call lacks that brings this many by position; below 0: how many it has too many."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    if given < positional - len(arguments.defaults):
        return positional - len(arguments.defaults) - given
    return positional - given if given > positional and arguments.vararg is None else 0


def bound_arguments(function: Function, given: int, *, is_on_class: bool = False) -> int | None:
    """Return how many arguments a method's function gets from a call that brings this many; None: not to be told.

    A call on an instance brings the instance too, one `is_on_class` does not.
    """
    names = [decorator.id if isinstance(decorator, ast.Name) else "" for decorator in function.decorator_list]
    if names == ["staticmethod"]:
        return given
    if names == ["classmethod"]:
        return given + 1
    return None if names else given + (not is_on_class)


def in_short(statement: ast.stmt) -> str:
    """Return a statement's first line as a message quotes it."""
    return ast.unparse(statement).partition("\n")[0][:80]


def _exits(statement: ast.stmt) -> bool:
    """Whether it is `sys.exit(...)`."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    function = call.func if isinstance(call, ast.Call) else None
    if not isinstance(function, ast.Attribute) or function.attr != "exit":
        return False
    return isinstance(function.value, ast.Name) and function.value.id == "sys"
