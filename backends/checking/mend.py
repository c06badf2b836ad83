"""`check --fix`: what was mended in memory is shown as a diff and written, each file by rename."""

from __future__ import annotations

import difflib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends.checking.question import Asked
from tritonsmith.generator.checks.mend import mend
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.files import printable, read_regular
from tritonsmith.generator.repository.core import Content, Repository
from tritonsmith.generator.repository.names import CONFIG_FILE, LOCK_FILE


@dataclass(frozen=True)
class Change:
    """A file that is changed, or made: then `before` is None."""

    path: Path
    before: str | None
    after: str

    def diff(self) -> str:
        """Return the change as a unified diff; of an empty file its name."""
        if not self.after:
            return printable(f"new empty file {self.path}\n")
        lines = difflib.unified_diff(
            (self.before or "").splitlines(True), self.after.splitlines(True), f"{self.path}", f"{self.path}"
        )
        text = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
        return printable(text)


@dataclass(frozen=True)
class Mending:
    """What is mended: the changes, and how many findings are gone by them."""

    root: Path
    changes: tuple[Change, ...]
    count: int

    def diff(self) -> str:
        """Return all changes as one diff."""
        return "".join(change.diff() for change in self.changes)

    def summary(self) -> str:
        """Return how much is mended."""
        files = len({change.path for change in self.changes})
        findings = f"{self.count} finding{'s'[: self.count != 1]}"
        if not files:
            return "nothing can be mended safely"
        built = "; build will refuse to overwrite them" if (self.root / LOCK_FILE).exists() else ""
        return f"{findings} mended in {files} file{'s'[: files != 1]}{built}"

    def write(self) -> None:
        """Write the changes, each file at once.

        Raises: RepositoryError where one cannot be written, lies elsewhere, or was changed meanwhile.
        """
        for change in self.changes:
            try:
                _write(change, self.root)
            except OSError as problem:
                raise RepositoryError(f"cannot write it: {problem.strerror}", where=str(change.path)) from None


def plan_mending(asked: Asked) -> Mending:
    """Return what can be mended safely of the findings that were asked for.

    Raises: UsageError for a spec, whose findings stand in a file that is not the one to be mended.
    """
    if not asked.path.is_dir():
        raise UsageError("--fix mends model repositories; a spec is yours to edit", hint=f"edit {asked.path}")
    told = asked.report()
    mended = mend(asked.case, told.findings, asked.question.selection)
    changes = tuple(_changes(asked.path, asked.case.repository, mended.repository))
    return Mending(asked.path, changes, len(mended.fixed))


def _changes(root: Path, before: Repository, after: Repository) -> Iterator[Change]:
    for name, model in after.models.items():
        old = before.models[name]
        if model.text != old.text:
            yield Change(root / name / CONFIG_FILE, old.text, model.text)
        for path in sorted(model.files.keys() - old.files.keys()):
            if isinstance(model.files[path], Content):
                yield Change(root / name / path, None, "")


def _write(change: Change, root: Path) -> None:
    path = Path(os.path.realpath(change.path))  # a link stays one
    if not path.is_relative_to(os.path.realpath(root)):
        raise RepositoryError("it lies outside of the repository, and stays as it is", where=str(change.path))
    if change.before is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
        return
    if read_regular(path) != change.before.encode(errors="surrogateescape"):
        raise RepositoryError("it was changed meanwhile", where=str(change.path), hint="run check --fix again")
    mode = stat.S_IMODE(path.stat().st_mode)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".fix-", delete=False) as file:
        stage = Path(file.name)
        file.write(change.after.encode(errors="surrogateescape"))
    try:
        stage.chmod(mode)
        stage.replace(path)
    finally:
        stage.unlink(missing_ok=True)
