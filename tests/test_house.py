"""The house: which layer may import which, and what runs inside Triton."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("generator", "ensembles", "backends", "perf")
SOURCES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
OURS = [path for path in SOURCES if path.name != "model.py"]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_layer_imports_none_above_it(path: Path) -> None:
    own = LAYERS.index(path.relative_to(ROOT).parts[0])
    used = {name.split(".")[1] for name in imports(path) if name.startswith("tritonsmith.")}
    assert not used & set(LAYERS[own + 1 :])


def runs_inside_triton() -> list[Path]:
    backends = (ROOT / "backends" / "python_based").rglob("*.py")
    models = sorted((ROOT / "ensembles").glob("*/*/1/model.py"))
    return [*backends, *models, *(path for model in models for path in neighbours_of(model, model.parents[2]))]


def neighbours_of(script: Path, package: Path) -> set[Path]:
    found: set[Path] = set()
    for node in ast.walk(ast.parse(script.read_bytes())):
        # `llm` is a package of backends/, tested there: build puts it beside the model.py that imports it
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module and node.module.split(".")[0] != "llm":
            path = package / f"{node.module}.py"
            found |= {path} | neighbours_of(path, package)
    return found


@pytest.mark.parametrize("path", sorted(set(runs_inside_triton())), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_runs_inside_triton_imports_nothing_of_ours(path: Path) -> None:
    assert not [name for name in imports(path) if name.startswith("tritonsmith")]


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_is_a_typed_package(layer: str) -> None:
    assert (ROOT / layer / "py.typed").is_file()
    assert ast.get_docstring(ast.parse((ROOT / layer / "__init__.py").read_text()))


def test_no_module_is_named_after_nothing() -> None:
    banned = {"utils", "util", "common", "helpers", "misc"}
    assert not [path for path in OURS if path.stem in banned]


def test_this_python_is_supported() -> None:
    assert (3, 10) <= sys.version_info[:2] <= (3, 12)
