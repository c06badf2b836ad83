"""What both halves of the quickstart do alike: say each step with its command, build and check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends import checking
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo


@dataclass
class Steps:
    """Counts the steps as they are taken."""

    total: int
    taken: int = 0

    def begin(self, title: str, command: str) -> None:
        """Say the next step, with the command that does the same."""
        self.taken += 1
        console.say(f"\n[{self.taken}/{self.total}] {title}: {command}")


def build(steps: Steps, spec: Path, output: Path) -> Path:
    """Build and check the repository of a spec; return where it is.

    Raises: AnswerIsNo where it has findings.
    """
    repository = output / "model_repository"
    steps.begin("build", f"tritonsmith build {shown(spec)} --output {repository}")
    console.say(build_repository(spec, repository).summary())
    steps.begin("check", f"tritonsmith check {repository}")
    asked = checking.ask(checking.Question(repository))
    report = asked.report()
    console.say(checking.show(report, asked.sources))
    if report.is_bad(is_strict=True):
        raise AnswerIsNo("the generated repository has findings", hint="this is a bug in tritonsmith")
    return repository


def shown(path: Path) -> str:
    """Return a path as a user would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
