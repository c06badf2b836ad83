"""Findings as SARIF 2.1.0, which code hosts show beside the lines they are about.

Source: OASIS: Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from tritonsmith.generator.checks.explain import explain_check, explanation_of
from tritonsmith.generator.checks.registry import Check, all_checks
from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.findings import Finding, Place

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(report: Report) -> dict[str, Any]:
    """Return the findings as one run; the rules are those that found something."""
    checks = all_checks()
    codes = sorted({finding.code for finding in report.told if finding.code in checks})
    driver = {
        "name": "tritonsmith",
        "version": version("tritonsmith"),
        "rules": [_rule(checks[code]) for code in codes],
    }
    results = [_result(finding, codes) for finding in report.told]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.code,
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": explanation_of(check).reason or check.title},
        "help": {"text": explain_check(check)},
    }


def _result(finding: Finding, codes: list[str]) -> dict[str, Any]:
    hint = f"\nhint: {finding.remedy}" if finding.remedy else ""
    phase = finding.phase.value if finding.phase else None
    properties = {"model": finding.model, "key": finding.key, "phase": phase}
    rule = {"ruleId": finding.code} if finding.code else {}
    index = {"ruleIndex": codes.index(finding.code)} if finding.code in codes else {}
    return {
        **rule,
        **index,
        "level": finding.severity.value,
        "message": {"text": f"{finding.message}{hint}"},
        "locations": _locations(finding.place),
        "properties": {key: value for key, value in properties.items() if value},
    }


def _locations(place: Place) -> list[dict[str, Any]]:
    if not place.file:
        return []
    path = PurePath(place.file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    location: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if place.line:
        location["region"] = {"startLine": place.line} | ({"startColumn": place.column} if place.column else {})
    return [{"physicalLocation": location}]
