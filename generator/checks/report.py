"""What is told of a repository: the findings that are asked for and not ignored, and how many were ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.ignores import WHOLE_FILE, read_ignores
from tritonsmith.generator.checks.registry import check_ignores, check_repository
from tritonsmith.generator.checks.select import Selection
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.files import printable
from tritonsmith.generator.findings import Finding, Severity

MOST_ALIKE = 20  # of the findings of one rule about one model that are told


@dataclass(frozen=True)
class Report:
    """The findings that were asked for, in the order of the files; `ignored` counts those that comments silenced."""

    findings: tuple[Finding, ...] = ()
    ignored: int = 0

    @cached_property
    def told(self) -> tuple[Finding, ...]:
        """The findings as they are shown: of many alike the first, and one that says how many more there are."""
        return tuple(_printable(finding) for finding in _few_alike(self.findings))

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
    silenced = {(file, ignore.line, code) for file, some in ignores.items() for ignore in some for code in ignore.codes}
    left = [finding for finding in taken if not (silenced and _is_silenced(finding, silenced))]
    ordered = sorted(left, key=lambda finding: (finding.place, finding.code))
    return Report(tuple(ordered), ignored=len(taken) - len(left))


def _is_silenced(finding: Finding, silenced: Set[tuple[str, int, str]]) -> bool:
    """Whether a comment names the finding's code, or the beginning of it, for its line or its whole file."""
    beginnings = [finding.code[:count] for count in range(1, len(finding.code) + 1)]
    lines = (WHOLE_FILE, finding.place.line)
    return any((finding.place.file, line, beginning) in silenced for line in lines for beginning in beginnings)


def _few_alike(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the findings without those of a rule about a model beyond `MOST_ALIKE`: one says how many they are."""
    counts = Counter(map(_kind, findings))
    seen = Counter[tuple[object, ...]]()
    for finding in findings:
        kind = _kind(finding)
        seen[kind] += 1
        more = counts[kind] - MOST_ALIKE
        if seen[kind] <= MOST_ALIKE or more == 1 or not finding.code:
            yield finding
        elif seen[kind] == MOST_ALIKE + 1:
            message = f"and {more:,} more like it"
            yield replace(finding, message=message, key=finding.model, remedy="", fix=None, more=more)


def _kind(finding: Finding) -> tuple[object, ...]:
    return (
        finding.code,
        finding.model or finding.place.file,
        finding.severity.value,
        finding.phase and finding.phase.value,
    )


def _printable(finding: Finding) -> Finding:
    """Return a finding in which every format can write what is not UTF-8, of names of files above all."""
    texts = (finding.message, finding.key, finding.remedy, finding.model, finding.place.file)
    if all(text.isascii() for text in texts):
        return finding
    message, key, remedy, model, file = map(printable, texts)
    place = replace(finding.place, file=file)
    return replace(finding, message=message, place=place, key=key, remedy=remedy, model=model)
