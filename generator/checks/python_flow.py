"""What of a Python model's code certainly runs, and what a call of its methods must bring."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef


def certain(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body that run each time it is run, up to where one may leave it."""
    for statement in statements:
        yield statement
        if isinstance(statement, (ast.Return, ast.Raise)):
            return
        if any(isinstance(node, ast.Return) for node in own_nodes([statement])):
            return


def certain_failure(statements: Iterable[ast.stmt]) -> ast.stmt | None:
    """Return the statement by which a body fails each time it is run, None where it may not."""
    for statement in certain(statements):
        if isinstance(statement, ast.Raise) or _exits(statement):
            return statement
        if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Constant) and not statement.test.value:
            return statement
    return None


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
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
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


def _exits(statement: ast.stmt) -> bool:
    """Whether it is `sys.exit(...)`."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "sys.exit"
