"""Findings for a person: a line for each, the line of the file that it is about, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.findings import Finding, Place

_WIDTH = 100  # of a quoted line


def as_text(report: Report, sources: Sources) -> str:
    """Return the findings, each with its line of the file, and how many there are."""
    return "\n".join([*(line for one in report.told for line in _lines(one, sources)), report.summary()])


def _lines(finding: Finding, sources: Sources) -> Iterator[str]:
    yield _plain(finding.headline)
    yield from quote(finding.place, sources)
    if finding.remedy:
        yield f"  hint: {_plain(finding.remedy)}"


def quote(place: Place, sources: Sources) -> Iterator[str]:
    """Yield the line of a file at a place with a caret below it; nothing where it cannot be read."""
    line = sources.line(place.file, place.line)
    if not line.strip():
        return
    column = min(max(place.column, 1), len(line))
    start = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = _plain(line[start : start + _WIDTH])
    number = f"{place.line:>5}"
    yield f"{number} | {shown}".rstrip()
    if place.column:
        yield f"{' ' * len(number)} | {' ' * (column - 1 - start)}^"


def _plain(text: str) -> str:
    """Return text without what would steer a terminal: names of files and models can hold it."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
