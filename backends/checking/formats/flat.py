"""Findings as JSON: a list of flat objects, every key in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tritonsmith.generator.checks.explain import explanation_of
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.findings import Finding

if TYPE_CHECKING:
    from tritonsmith.backends.running.explain import LiveCheck


def as_json(report: Report) -> list[dict[str, Any]]:
    """Return the findings as data."""
    return list(map(as_object, report.told))


def as_object(finding: Finding) -> dict[str, Any]:
    """Return a finding with what its check says: `triton_pattern` matches the line of Triton's log, null where none.

    `more` counts the findings like it that are not told, of which it then stands for all.
    """
    check = all_checks().get(finding.code)
    told = check or _live_check(finding.code)
    return {
        "code": finding.code,
        "title": told.title if told else "",
        "severity": finding.severity.value,
        "phase": finding.phase.value if finding.phase else None,
        "model": finding.model,
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "key": finding.key,
        "message": finding.message,
        "remedy": finding.remedy,
        "fixable": finding.fix is not None,
        "more": finding.more,
        "triton_pattern": check.pattern or None if check and finding.phase else None,
        "source": explanation_of(told).source if told else "",
    }


def _live_check(code: str) -> LiveCheck | None:
    from tritonsmith.backends.running.explain import LIVE_CHECKS  # which few reports need

    return LIVE_CHECKS.get(code) if code else None
