"""What a verb is given to look at, before any server: a spec, or any model repository; and for which release."""

from __future__ import annotations

import re
from pathlib import Path

from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.names import CONFIG_FILE
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.suggest import did_you_mean

SPEC = Path("tritonsmith.yaml")
REPOSITORY = Path("model_repository")
EMBEDDED_NAME = "embedded"
_SPECS = (".yaml", ".yml")


def given_or_found(path: Path | None) -> Path:
    """Return the path that was given, else ./tritonsmith.yaml where there is one, else ./model_repository."""
    return path or (SPEC if SPEC.exists() else REPOSITORY)


def read_source(path: Path, profile: str = "") -> Repository:
    """Return the repository at a path, or the one that the spec there describes.

    Raises: SpecError where a spec cannot be read; RepositoryError where the path is neither a spec nor a repository.
    """
    if path.is_dir():
        if profile:
            raise UsageError("--profile belongs to a spec", hint=f"name a spec, not the repository {path}")
        return read_repository(path)
    if not path.exists():
        raise RepositoryError("there is nothing to look at: no such file or folder", where=str(path), hint=_hint(path))
    if path.suffix not in _SPECS or not path.is_file():
        message = "neither a spec (a YAML file) nor a model repository (a folder)"
        raise RepositoryError(message, where=str(path), hint=_hint(path))
    return _repository_of(path, profile)


def sources_of(path: Path) -> Sources:
    """Return the text that findings on a spec or a repository may quote: that of its folder."""
    return Sources([path if path.is_dir() else path.absolute().parent])


def release_named(name: str) -> Release:
    """Return the release of a name such as 26.07; `embedded` is the embedded server's.

    Raises: UsageError where there is none.
    """
    if name == EMBEDDED_NAME:
        return RELEASES[EMBEDDED]
    if name not in RELEASES:
        known = [EMBEDDED_NAME, *RELEASES]
        raise UsageError(f"unknown Triton release '{name}'.{did_you_mean(name, known)}", hint=f"newest: {NEWEST}")
    return RELEASES[name]


def _hint(path: Path) -> str:
    if path.name == CONFIG_FILE:
        return f"name the model repository, the folder that holds the model's: {path.absolute().parent.parent}"
    return "name a spec or a model repository; tritonsmith init writes a spec"


def _repository_of(path: Path, profile: str) -> Repository:
    """Return the repository that a spec describes; what reads specs is imported for them alone."""
    from tritonsmith.ensembles.pipelines import load_spec
    from tritonsmith.generator.lower import lower
    from tritonsmith.generator.spec.tree import read_text

    _refuse_manifests(path, read_text(path))
    return lower(load_spec(path, profile))


def _refuse_manifests(path: Path, text: str) -> None:
    if re.search(r"^apiVersion\s*:", text, re.MULTILINE) and re.search(r"^kind\s*:", text, re.MULTILINE):
        message = "this holds Kubernetes manifests, which are neither a spec nor a repository"
        hint = "tritonsmith check judges them; else name the spec or the model repository that they serve"
        raise RepositoryError(message, where=str(path), hint=hint)
