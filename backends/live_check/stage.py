"""What the server is given: the repository as it is, and a null backend for each standard one that it lacks."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput, ModelOutput

from tritonsmith.backends.server.adapt import Host
from tritonsmith.backends.server.prepare import Prepared
from tritonsmith.backends.server.view import link_python_backend, make_view
from tritonsmith.backends.toolchain import machine
from tritonsmith.backends.toolchain.find import SERVER_RELEASE, Toolchain
from tritonsmith.generator.catalog.backends import STANDARD_BACKENDS
from tritonsmith.generator.checks.case import Case

NULL_BACKEND = Path(__file__).parent / "null_backend" / "model.py"
STOOD_IN_FOR = STANDARD_BACKENDS - {"python"}


@dataclass(frozen=True)
class LiveStage:
    """A mirror of `repository` beside a backend directory: what servers are started from."""

    toolchain: Toolchain
    folder: Path  # backends/ and the view models/
    names: tuple[str, ...]
    repository: Path
    incomplete: frozenset[str] = frozenset()  # models of which something is left out that no server should be given

    @property
    def prepared(self) -> Prepared:
        """The view with nothing changed for this machine."""
        host = Host(machine.gpu_count(), STOOD_IN_FOR | {"python"}, SERVER_RELEASE)
        return Prepared(self.repository, self.folder / "models", host, {}, {}, {}, self.names, {}, ())


def make_stage(toolchain: Toolchain, repository: Path, case: Case, folder: Path) -> LiveStage:
    """Mirror a repository into `folder`, beside a backend directory with the null backends."""
    names = make_view(repository, folder / "models", with_faults=True)
    link_python_backend(toolchain, folder / "backends")
    for backend in sorted(STOOD_IN_FOR):
        (folder / "backends" / backend).mkdir()
        shutil.copyfile(NULL_BACKEND, folder / "backends" / backend / "model.py")
        completed = json.dumps(completions(case, backend))
        (folder / "backends" / backend / "completed.json").write_text(completed, encoding="utf-8")
    return LiveStage(toolchain, folder, tuple(names), repository, left_out_of(case, folder / "models"))


def left_out_of(case: Case, view: Path) -> frozenset[str]:
    """Return the models of a case that have something broken which the view lacks."""
    models = case.repository.models.values()
    return frozenset(model.name for model in models if any(not is_there(view / model.name / p) for p in model.faults))


def is_there(path: Path) -> bool:
    """Return whether there is an entry, be it a link to nothing."""
    return path.is_symlink() or path.exists()


def completions(case: Case, backend: str) -> dict[str, dict[str, Any]]:
    """Return what a C++ backend would complete from its models' files, by model, as the Python backend wants it."""
    return {
        model.name: {
            "max_batch_size": model.config.max_batch_size,
            "input": [_tensor(tensor) for tensor in model.config.input],
            "output": [_tensor(tensor) for tensor in model.config.output],
        }
        for model in case.models()
        if model.config.backend == backend
    }


def _tensor(tensor: ModelInput | ModelOutput) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": DataType.Name(tensor.data_type), "dims": list(tensor.dims)}
