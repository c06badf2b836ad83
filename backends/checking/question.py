"""What `check` looks at: a spec or any model repository, and the server that it is judged for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonsmith.backends.checking.formats import show
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator import console
from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.checks.report import Report, report_on
from tritonsmith.generator.checks.select import Selection, read_codes
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.errors import RepositoryError, SpecError, UsageError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.spec.tree import read_text
from tritonsmith.generator.suggest import did_you_mean

SPEC = Path("tritonsmith.yaml")
REPOSITORY = Path("model_repository")
_SPECS = (".yaml", ".yml")
_EMBEDDED = "embedded"


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


def ask(question: Question) -> Asked:
    """Read what a question is about.

    Raises: SpecError where a spec cannot be read; RepositoryError where the path is neither a spec nor a repository.
    """
    path = question.path or (SPEC if SPEC.exists() else REPOSITORY)
    repository = _read(path, question.profile)
    target = Target.of(repository)
    if question.release:
        target = replace(target, release=_release(question.release))
        if question.release == _EMBEDDED:
            target = replace(target, gpus=0)
    if question.gpus is not None:
        target = replace(target, gpus=question.gpus)
    if not question.is_auto_complete:
        target = replace(target, is_auto_complete=False)
    return Asked(question, path, Case(repository, target), sources_of(path))


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
    file, _, line = problem.where.rpartition(":")
    place = Place(file, int(line)) if line.isdecimal() else Place(problem.where)
    return error(problem.message, place, remedy=problem.hint)


def sources_of(path: Path) -> Sources:
    """Return the text that findings on a spec or a repository may quote: that of its folder."""
    return Sources([path if path.is_dir() else path.absolute().parent])


def selection_of(select: Sequence[str] = (), ignore: Sequence[str] = (), *, is_load_only: bool = False) -> Selection:
    """Return the selection that options of the command line ask for.

    Raises: UsageError for a code that there is not.
    """
    if not select and not ignore:
        return Selection(is_load_only=is_load_only)
    from tritonsmith.backends.checking.codes import known_codes

    known = known_codes()
    return Selection(read_codes(select, known), read_codes(ignore, known), is_load_only=is_load_only)


def _read(path: Path, profile: str) -> Repository:
    if path.is_dir():
        if profile:
            raise UsageError("--profile belongs to a spec", hint=f"check a spec, not the repository {path}")
        return read_repository(path)
    if not path.exists():
        raise RepositoryError("there is nothing to check: no such file or folder", where=str(path), hint=_hint(path))
    if path.suffix not in _SPECS or not path.is_file():
        message = "neither a spec (a YAML file) nor a model repository (a folder)"
        raise RepositoryError(message, where=str(path), hint=_hint(path))
    _refuse_manifests(path)
    return lower(load_spec(path, profile))


def _hint(path: Path) -> str:
    if path.name == "config.pbtxt":
        return f"check the model repository, the folder that holds the model's: {path.absolute().parent.parent}"
    return "name a spec or a model repository; tritonsmith init writes a spec"


def _refuse_manifests(path: Path) -> None:
    text = read_text(path)
    if re.search(r"^apiVersion\s*:", text, re.MULTILINE) and re.search(r"^kind\s*:", text, re.MULTILINE):
        message = "this holds Kubernetes manifests, which cannot be checked yet"
        raise RepositoryError(message, where=str(path), hint="check the spec or the model repository that they serve")


def _release(name: str) -> Release:
    if name == _EMBEDDED:
        return RELEASES[EMBEDDED]
    if name not in RELEASES:
        known = [_EMBEDDED, *RELEASES]
        raise UsageError(f"unknown Triton release '{name}'.{did_you_mean(name, known)}", hint=f"newest: {NEWEST}")
    return RELEASES[name]
