"""Which modules a Python model can import: told from files and from this environment, without importing any."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from tritonsmith.generator.repository.core import Model

# What the Python backend itself puts on the path. Source: python_backend: src/pb_stub.cc (StubSetup).
OF_THE_BACKEND = frozenset({"triton_python_backend_utils", "c_python_backend_utils"})


def has_module(name: str, model: Model, folder: str) -> bool:
    """Whether `import name` would find a module: beside the model's file, in the model's folder, or installed here."""
    top = name.partition(".")[0]
    return (
        top in OF_THE_BACKEND
        or top in sys.stdlib_module_names
        or has_neighbour(top, model, folder)
        or has_neighbour(top, model, "")
        or is_installed(top)
    )


def has_neighbour(name: str, model: Model, folder: str) -> bool:
    """Whether a folder of the model's holds a module or a package of this name."""
    prefix = f"{folder}/" if folder else ""
    path = f"{prefix}{name}"
    return f"{path}.py" in model.files or path in model.folders or _has_library(path, model.files)


def _has_library(path: str, files: Mapping[str, object] | Iterable[str]) -> bool:
    return any(file.startswith(f"{path}.") and file.endswith((".so", ".pyc", ".pyd")) for file in files)


def is_installed(name: str) -> bool:
    """Whether this environment holds a module; of a top-level name, its spec is found without running anything."""
    import importlib.util

    if not name.isidentifier():
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ValueError, ImportError):  # a module that says nothing of its origin is loaded, hence there
        return name in sys.modules
