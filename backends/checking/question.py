"""What `check` looks at: a spec, any model repository and the server that it is judged for, or Kubernetes manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonsmith.backends.checking.formats import show
from tritonsmith.ensembles.source import EMBEDDED_NAME, given_or_found, read_source, release_named, sources_of
from tritonsmith.generator import console
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.checks.manifests.find import is_manifests
from tritonsmith.generator.checks.registry import check_sets
from tritonsmith.generator.checks.report import Report, report_on, reported
from tritonsmith.generator.checks.select import Selection, read_codes
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.generator.findings import Finding, Place, error

if TYPE_CHECKING:
    from tritonsmith.generator.checks.manifests.case import Manifests

_WHERE = re.compile(r"(.*?)(?::([0-9]+))?(?::([0-9]+))?", re.DOTALL)  # file:line:column


@dataclass(frozen=True)
class Question:
    """What is asked: of a path (./tritonsmith.yaml or else ./model_repository where None), for which server."""

    path: Path | None = None
    profile: str = ""
    release: str = ""  # "embedded", or a name such as 26.07; else the spec's, or the newest
    gpus: int | None = None  # else the spec's hardware, or unknown
    is_auto_complete: bool = True
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True)
class Asked:
    """What the question is about, read: the case, and where its text lies."""

    question: Question
    path: Path
    case: Case
    sources: Sources

    def report(self) -> Report:
        """Return the findings that were asked for."""
        return report_on(self.case, self.sources, self.question.selection)


@dataclass(frozen=True)
class AskedManifests:
    """A question about Kubernetes manifests, read: the sets that are applied together, and where their text lies."""

    question: Question
    path: Path
    sets: Sequence[Manifests]

    @property
    def sources(self) -> Sources:
        """The text that findings may quote: of the folders that were read."""
        return Sources([folder for one in self.sets for folder in one.folders])

    def report(self) -> Report:
        """Return the findings that were asked for."""
        return reported(check_sets(self.sets), self.sources, self.question.selection)


def ask(question: Question) -> Asked | AskedManifests:
    """Read what a question is about.

    Raises: SpecError where a spec cannot be read; RepositoryError where the path is neither a spec, nor a repository,
    nor manifests; UsageError for an option that is about servers, of manifests.
    """
    path = given_or_found(question.path)
    if is_manifests(path):
        return _ask_manifests(question, path)
    repository = read_source(path, question.profile)
    target = Target.of(repository)
    if question.release:
        target = replace(target, release=release_named(question.release))
        if question.release == EMBEDDED_NAME:
            target = replace(target, gpus=0)
    if question.gpus is not None:
        target = replace(target, gpus=question.gpus)
    if not question.is_auto_complete:
        target = replace(target, is_auto_complete=False)
    return Asked(question, path, Case(repository, target), sources_of(path))


def _ask_manifests(question: Question, path: Path) -> AskedManifests:
    options = {"--profile": question.profile, "--triton": question.release, "--gpus": question.gpus is not None}
    options["--no-auto-complete"] = not question.is_auto_complete
    for option, is_given in options.items():
        if is_given:
            raise UsageError(f"{option} belongs to a spec or a repository", hint=f"{path} holds Kubernetes manifests")
    from tritonsmith.generator.checks.manifests.read import read_sets  # reads YAML, which few questions need

    return AskedManifests(question, path, read_sets(path))


@contextmanager
def shown_if_unreadable(form: str) -> Iterator[None]:
    """Give machines what is wrong with a spec that cannot be read; for a person the error itself says it."""
    try:
        yield
    except SpecError as problem:
        if form != "text":
            console.result(show(Report(problem.findings or (_finding(problem),)), Sources(), form))
        raise


def _finding(problem: SpecError) -> Finding:
    where = _WHERE.fullmatch(problem.where)
    assert where, "everything in it is optional"
    file, line, column = where.groups(default="0")
    return error(problem.message, Place(file, int(line), int(column)), remedy=problem.hint)


def selection_of(select: Sequence[str] = (), ignore: Sequence[str] = (), *, is_load_only: bool = False) -> Selection:
    """Return the selection that options of the command line ask for.

    Raises: UsageError for a code that there is not.
    """
    if not select and not ignore:
        return Selection(is_load_only=is_load_only)
    from tritonsmith.backends.checking.codes import known_codes

    known = known_codes()
    return Selection(read_codes(select, known), read_codes(ignore, known), is_load_only=is_load_only)
