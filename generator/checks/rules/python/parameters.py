"""The parameters by which a Python model's environment is chosen."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from tritonsmith.generator.catalog.releases import EMBEDDED
from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.python.source import EXECUTION_ENV_PATH
from tritonsmith.generator.files import open_regular
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.fixes import SetField
from tritonsmith.generator.repository.core import Content, File

FORCE_CPU = "FORCE_CPU_ONLY_INPUT_TENSORS"
_MODEL_FOLDER = "$$TRITON_MODEL_DIRECTORY"
_GZIP, _TAR, _TAR_AT = b"\x1f\x8b", b"ustar", 257


@check(
    "TS870",
    f"{FORCE_CPU} is yes or no",
    triton="Incorrect value for FORCE_CPU_ONLY_INPUT_TENSORS: {name}'",
    on=("parameters",),
    stage=Stage.CREATE,
)
def input_tensors_are_placed(model: ModelCase) -> Iterator[Finding]:
    """Any other value, also Yes or an empty one, fails the load.

    Source: python_backend: src/python_be.cc (ModelState::ModelState), triton-config rule 101.
    """
    value = _parameter(model, FORCE_CPU)
    if value is not None and value not in ("yes", "no"):
        path = f"parameters.{FORCE_CPU}"
        fix = SetField(f"{path}.string_value", f'"{value.lower()}"') if value.lower() in ("yes", "no") else None
        yield model.error(path, f"{FORCE_CPU} is '{value}'", remedy="write yes or no", fix=fix)


@check(
    "TS871",
    f"what {EXECUTION_ENV_PATH} names is there",
    triton="Failed to get the canonical path for {path}.",
    on=("parameters",),
    stage=Stage.CREATE,
)
def environments_exist(model: ModelCase) -> Iterator[Finding]:
    """A path below the model's folder is written with $$TRITON_MODEL_DIRECTORY; another is one of the server's machine.

    That machine is this one where the target is the embedded server; of another one nothing is known.

    Source: python_backend: src/pb_env.cc (ExtractIfNotExtracted), triton-config rule 101.
    """
    value = _parameter(model, EXECUTION_ENV_PATH)
    if not value:
        return
    inside = _inside(value)
    where = f"parameters.{EXECUTION_ENV_PATH}"
    if inside is not None:
        if inside != "." and inside not in model.model.files and inside not in model.model.folders:
            yield model.error(where, f"there is no {inside} in the model's folder", remedy=f"add {model.name}/{inside}")
    elif _MODEL_FOLDER not in value and model.target.release.name == EMBEDDED and not Path(value).exists():
        remedy = f"a path in the model's folder is written as {_MODEL_FOLDER}/..."
        yield model.error(where, f"there is no {value} on this machine", remedy=remedy)


@check(
    "TS872",
    f"a folder that {EXECUTION_ENV_PATH} names is an environment",
    triton="Path {path} does not exist. The Python environment should contain an 'activate' script.",
    on=("parameters",),
)
def environments_can_be_activated(model: ModelCase) -> Iterator[Finding]:
    """The stub is started by a shell that sources bin/activate of the environment.

    Source: python_backend: src/stub_launcher.cc (StubLauncher::Initialize).
    """
    value = _parameter(model, EXECUTION_ENV_PATH) or ""
    inside = _inside(value)
    if inside in model.model.folders:
        is_whole = f"{inside}/bin/activate" in model.model.files
    else:
        is_here = inside is None and value and model.target.release.name == EMBEDDED
        is_whole = not is_here or not Path(value).is_dir() or Path(value, "bin", "activate").exists()
    if not is_whole:
        message = f"{inside or value} has no bin/activate"
        yield model.error(f"parameters.{EXECUTION_ENV_PATH}", message, remedy="make it with conda-pack or venv")


@check(
    "TS873",
    f"a file that {EXECUTION_ENV_PATH} names is an archive",
    triton="archive_read_open_filename() failed.",
    on=("parameters",),
)
def environments_are_archives(model: ModelCase) -> Iterator[Finding]:
    """What is no folder is unpacked as a tar archive, packed with gzip or not.

    Source: python_backend: src/pb_env.cc (ExtractTarFile).
    """
    inside = _inside(_parameter(model, EXECUTION_ENV_PATH) or "")
    file = model.model.files.get(inside) if inside else None
    if file is not None and not _is_archive(file):
        message = f"{inside} is no tar archive"
        yield model.error(f"parameters.{EXECUTION_ENV_PATH}", message, remedy="make it with conda-pack")


def _parameter(model: ModelCase, name: str) -> str | None:
    if model.config.backend != "python" or name not in model.config.parameters:
        return None
    return model.config.parameters[name].string_value


def _inside(value: str) -> str | None:
    """Return a path in the model's folder; None where it is one of another place."""
    if not value.startswith(_MODEL_FOLDER):
        return None
    path = posixpath.normpath(value.removeprefix(_MODEL_FOLDER).lstrip("/"))
    return None if path.startswith("..") else path


def _is_archive(file: File) -> bool:
    """Whether it may be one: what cannot be read is not judged."""
    try:
        if isinstance(file, Content):
            head = file.data[:512]
        else:
            with open_regular(file.path) as opened:
                head = opened.read(512)
    except OSError:
        return True
    return head.startswith(_GZIP) or head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR
