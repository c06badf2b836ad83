"""Build: a spec becomes a repository on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.checks.report import Report, report_on
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.lower import lower
from tritonsmith.generator.manifests.launch import ENGINE_SCRIPT, SCRIPT, is_engine_model, launch_script
from tritonsmith.generator.repository.changes import Changes
from tritonsmith.generator.repository.core import Content, Repository
from tritonsmith.generator.repository.write import plan_changes, write_repository


@dataclass(frozen=True)
class Build:
    """A finished build, or one that was only planned."""

    target: Path
    repository: Repository
    changes: Changes
    is_written: bool
    report: Report  # what is wrong with the repository, though its models load

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with the repository, though it can be built."""
        return list(self.report.told)

    def summary(self) -> str:
        """Return what was done, in one line."""
        counts = self.counts()
        done = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        verb = "not written" if not self.is_written else "written" if self.changes else "up to date"
        models = len(self.repository.models)
        return f"{self.target}: {models} model{'s'[: models != 1]}; files: {done or 'none'} ({verb})"

    @property
    def notes(self) -> list[str]:
        """Return what is good to know where nothing is wrong: which models NVIDIA's C++ backend cannot serve yet."""
        models = [model for model in self.repository.models.values() if is_engine_model(model)]
        scripts = [self.target / model.name / ENGINE_SCRIPT for model in models if ENGINE_SCRIPT in model.files]
        if not scripts:
            return []
        names = " and ".join(script.parent.name for script in scripts)
        message = (
            f"{names}: served here by our backend; NVIDIA's C++ backend takes engines alone, which engine.sh builds"
        )
        return [f"{message} (see {' and '.join(map(str, scripts))})"]

    def counts(self) -> dict[str, int]:
        """Return how many files were added, changed, removed, and left as they were."""
        found = self.changes
        return {
            "added": len(found.added),
            "changed": len(found.changed),
            "removed": len(found.removed),
            "unchanged": len(found.unchanged),
            "refused": len(found.conflicts) + len(found.obstacles),
        }

    def document(self) -> dict[str, Any]:
        """Return the build as JSON."""
        models = {model.name: sorted(["config.pbtxt", *model.files]) for model in self.repository.models.values()}
        return {
            "repository": str(self.target),
            "is_written": self.is_written,
            "models": models,
            "files": self.counts(),
            "findings": [str(finding) for finding in self.findings],
            "notes": self.notes,
        }


def build_repository(spec: Path, target: Path, *, profile: str = "", is_forced: bool = False) -> Build:
    """Write the repository of a spec, if its models will load.

    Raises: SpecError with everything wrong with the spec; RepositoryError where writing would lose something.
    """
    repository, report = _checked(spec, profile)
    changes = write_repository(target, repository, is_forced=is_forced)
    return Build(target, repository, changes, is_written=True, report=report)


def plan_build(spec: Path, target: Path, *, profile: str = "") -> Build:
    """Return what `build_repository` would do; nothing is written."""
    repository, report = _checked(spec, profile)
    return Build(target, repository, plan_changes(target, repository), is_written=False, report=report)


def _checked(spec: Path, profile: str) -> tuple[Repository, Report]:
    """Return the repository of a spec and what is wrong with it.

    Raises: SpecError with all findings where a model of it will not load.
    """
    repository = lower(load_spec(spec, profile))
    report = report_on(Case(repository, Target.of(repository)), Sources([spec.absolute().parent]))
    broken = len({finding.model for finding in report.will_not_load})
    if broken:
        message = f"{broken} model{'s'[: broken != 1]} would not load; nothing is built"
        raise SpecError(message, where=str(spec), findings=report.told)
    return with_scripts(repository), report


def with_scripts(repository: Repository) -> Repository:
    """Return a repository with what starts a server of it, where a plain tritonserver does not.

    Raises: RepositoryError where no server can serve all of its models at once.
    """
    script = launch_script(repository)
    return repository if script is None else replace(repository, files={SCRIPT: Content(script.encode())})
