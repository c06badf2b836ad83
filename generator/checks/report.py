"""What is told of a repository: the findings that are asked for and not ignored, and how many were ignored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.ignores import Ignore, read_ignores
from tritonsmith.generator.checks.registry import check_ignores, check_repository
from tritonsmith.generator.checks.select import Selection
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.findings import Finding, Severity


@dataclass(frozen=True)
class Report:
    """The findings to be told, in the order of the files; `ignored` counts those that comments silenced."""

    findings: tuple[Finding, ...] = ()
    ignored: int = 0

    def count(self, severity: Severity) -> int:
        """Return how many findings have a severity."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def will_not_load(self) -> tuple[Finding, ...]:
        """The errors by which a model never becomes ready."""
        return tuple(finding for finding in self.findings if finding.phase and finding.phase.is_at_load)

    def is_bad(self, *, is_strict: bool = False) -> bool:
        """Whether there is an error; when strict, a warning counts too."""
        return bool(self.count(Severity.ERROR) or (is_strict and self.count(Severity.WARNING)))

    def summary(self) -> str:
        """Return how many findings there are of each severity."""
        counts = [(self.count(severity), severity.value) for severity in Severity]
        said = [f"{count} {word}{'s'[: count != 1]}" for count, word in counts if count]
        ignored = f" ({self.ignored} ignored)" if self.ignored else ""
        return f"{', '.join(said) or 'nothing found'}{ignored}"


def report_on(case: Case, sources: Sources, selection: Selection | None = None) -> Report:
    """Check a repository and return what is to be told; only files that have findings are looked into for comments."""
    return reported(check_repository(case), sources, selection or Selection())


def reported(findings: Iterable[Finding], sources: Sources, selection: Selection) -> Report:
    """Return what is to be told of some findings, those about the ignore comments themselves among them."""
    found = list(findings)
    files = dict.fromkeys(finding.place.file for finding in found if finding.place.file)
    ignores = {file: read_ignores(sources.lines(file), file) for file in files}
    about_comments = [finding for some in ignores.values() if some for finding in check_ignores(some)]
    taken = [finding for finding in [*found, *about_comments] if selection.takes(finding)]
    told = [finding for finding in taken if not _is_ignored(finding, ignores)]
    ordered = sorted(told, key=lambda finding: (finding.place, finding.code))
    return Report(tuple(ordered), ignored=len(taken) - len(told))


def _is_ignored(finding: Finding, ignores: dict[str, list[Ignore]]) -> bool:
    return any(ignore.holds_for(finding) for ignore in ignores.get(finding.place.file, ()))
