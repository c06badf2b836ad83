"""Which rules a file of tests holds to a value, as its text says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping


def proved(source: str) -> Iterator[str]:
    """Yield the words of the queries that are given to `prove` in a test, of which some value is expected."""
    module = ast.parse(source)
    said = _assigned(module)
    for test in (node for node in module.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
        known = said | _assigned(test)
        calls = (node for node in ast.walk(test) if isinstance(node, ast.Call))
        for call in (node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "prove"):
            for case in (node for given in call.args for node in ast.walk(given) if isinstance(node, ast.Tuple)):
                query, _, expected = case.elts
                if not isinstance(expected, ast.Dict) or expected.keys:
                    yield from (word for text in _texts(query, known) for word in re.findall(r"[\w:]+", text))


def _assigned(scope: ast.Module | ast.FunctionDef) -> dict[str, ast.expr]:
    """Return what names are set to in a scope, those of `a, b = x, y` too."""
    found: dict[str, ast.expr] = {}
    for node in (one for one in ast.walk(scope) if isinstance(one, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=True)
                found |= {one.id: value for one, value in pairs if isinstance(one, ast.Name)}
            elif isinstance(target, ast.Name):
                found[target.id] = node.value
    return found


def _texts(query: ast.expr, known: Mapping[str, ast.expr]) -> Iterator[str]:
    for node in ast.walk(query):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in known:
            yield from _texts(known[node.id], {name: value for name, value in known.items() if name != node.id})
