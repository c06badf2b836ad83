"""Findings as JSON: a list of flat objects, every key in each."""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.checks.explain import explanation_of
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.findings import Finding


def as_json(report: Report) -> list[dict[str, Any]]:
    """Return the findings as data."""
    return list(map(as_object, report.findings))


def as_object(finding: Finding) -> dict[str, Any]:
    """Return a finding with what its check says: `triton_pattern` matches the line of Triton's log, null where none."""
    check = all_checks().get(finding.code)
    return {
        "code": finding.code,
        "title": check.title if check else "",
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
        "triton_pattern": check.pattern or None if check and finding.phase else None,
        "source": explanation_of(check).source if check else "",
    }
