"""Findings as GitHub's workflow commands, which become annotations of a pull request's lines.

Source: GitHub Actions: workflow commands (error, warning, notice); actions/toolkit: command.ts (escaping).
"""

from __future__ import annotations

from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.findings import Finding, Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def as_github(report: Report) -> str:
    """Return a command for each finding, and how many there are."""
    return "\n".join([*map(_command, report.told), report.summary()])


def _command(finding: Finding) -> str:
    place = finding.place
    given = {
        "file": place.file,
        "line": str(place.line or ""),
        "col": str(place.column or ""),
        "title": " ".join(part for part in (finding.code, finding.key) if part),
    }
    properties = ",".join(f"{name}={_property(value)}" for name, value in given.items() if value)
    phase = f" ({finding.phase.in_words})" if finding.phase else ""
    hint = f"\nhint: {finding.remedy}" if finding.remedy else ""
    command = f"{_COMMANDS[finding.severity]} {properties}".rstrip()
    return f"::{command}::{_escaped(f'{finding.message}{phase}{hint}')}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
