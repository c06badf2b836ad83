"""`check`: the findings on a spec or on any model repository, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.suggest import did_you_mean

SPEC = Path("tritonsmith.yaml")
REPOSITORY = Path("model_repository")


def check_path(path: Path | None, *, profile: str = "", release: str = "") -> list[Finding]:
    """Return the findings on a spec, or on a repository; without a path on ./tritonsmith.yaml, else ./model_repository.

    Raises: SpecError where a spec cannot be read; RepositoryError where the path is neither.
    """
    repository = _read(path or (SPEC if SPEC.exists() else REPOSITORY), profile)
    target = Target.of(repository)
    return check_repository(Case(repository, replace(target, release=_release(release)) if release else target))


def as_text(findings: Sequence[Finding]) -> str:
    """Return the findings and how many there are of each severity."""
    counts = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
    said = [f"{count} {severity.value}{'s'[: count != 1]}" for severity, count in counts.items() if count]
    return "\n".join([*map(str, findings), ", ".join(said) or "nothing found"])


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the findings as data."""
    return [{**asdict(finding), "severity": finding.severity.value} for finding in findings]


def _read(path: Path, profile: str) -> Repository:
    if path.is_dir():
        if profile:
            raise UsageError("--profile belongs to a spec", hint=f"check a spec, not the repository {path}")
        return read_repository(path)
    if path.suffix in (".yaml", ".yml"):
        return lower(load_spec(path, profile))
    raise RepositoryError(
        "neither a spec (a YAML file) nor a model repository (a folder)", where=str(path), hint="tritonsmith init"
    )


def _release(name: str) -> Release:
    if name == "embedded":
        return RELEASES[EMBEDDED]
    if name not in RELEASES:
        raise UsageError(f"unknown Triton release '{name}'.{did_you_mean(name, RELEASES)}", hint=f"newest: {NEWEST}")
    return RELEASES[name]
