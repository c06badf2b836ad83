"""An S3 on this machine, and a small repository to push."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonsmith.perf.bench.local_store import LocalStore, local_store


@pytest.fixture(scope="session")
def running_store() -> Iterator[LocalStore]:
    with local_store() as store:
        yield store


@pytest.fixture
def store(running_store: LocalStore) -> Iterator[LocalStore]:
    """The store, mended before and after."""
    running_store.mend()
    yield running_store
    running_store.mend()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two models: one with a folder that stays empty, one without a configuration."""
    root = tmp_path / "repository"
    write(root / "double/config.pbtxt", 'backend: "python"')
    write(root / "double/1/model.py", "first")
    write(root / "double/1/__pycache__/model.pyc", "bytecode")
    write(root / "ensemble/config.pbtxt", 'platform: "ensemble"')
    (root / "ensemble/1").mkdir()
    write(root / "bare/1/model.onnx", "weights")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
