"""Model repositories written by tests, and a look at what a server leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tritonsmith.backends.server.leftovers import ENVIRONMENTS, SERVER, environments_of, run_processes

WriteModel = Callable[..., Path]

DOUBLING = """
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb.InferenceResponse([pb.Tensor("y", pb.get_input_tensor_by_name(request, "x").as_numpy() * 2)])
            for request in requests
        ]
"""
TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }'


def write_python_model(repository: Path, name: str, code: str | None = DOUBLING, *, config: str = "") -> Path:
    """Write a Python model of one FP32 input x and one output y, batching up to 8; returns its folder."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'backend: "python"\nmax_batch_size: 8\n{TENSORS}\n{config}\n')
    if code is not None:
        (folder / "1" / "model.py").write_text(code)
    return folder


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """Return `write_python_model`, for tests which cannot import a conftest."""
    return write_python_model


@pytest.fixture(scope="session")
def traces() -> Callable[[str], list[str]]:
    """Return a function that lists what is left of a run: its processes, shared memory and folders.

    Environment folders do not name their run, and other sessions have theirs: those that this run's server had when
    the function was called before count.
    """
    environments: dict[str, set[Path]] = {}
    older = set(ENVIRONMENTS.glob("python_env_*"))

    def look(run_name: str) -> list[str]:
        found = [f"/dev/shm/{entry.name}" for entry in Path("/dev/shm").iterdir() if run_name in entry.name]
        found += [str(entry) for entry in Path("/tmp").glob(f"*{run_name}*")]
        made = environments.setdefault(run_name, set())
        for pid in run_processes(Path(run_name), (SERVER,)):
            made |= environments_of(Path("/proc", str(pid)), set(ENVIRONMENTS.glob("python_env_*")) - older)
        found += [str(folder) for folder in made if folder.exists()]
        return found + list(_processes_with(run_name))

    return look


def _processes_with(word: str) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            argv = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in argv:
            yield argv.replace(b"\0", b" ").decode(errors="replace")
