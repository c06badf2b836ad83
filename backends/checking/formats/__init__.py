"""How findings are shown: for a person, and for the machines that read them. One file per format."""

from __future__ import annotations

from collections.abc import Callable

from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.checks.sources import Sources


def show(report: Report, sources: Sources, form: str = "text") -> str:
    """Return a report in one of `FORMATS`."""
    return FORMATS[form](report, sources)


def _text(report: Report, sources: Sources) -> str:
    from tritonsmith.backends.checking.formats.text import as_text

    return as_text(report, sources)


def _json(report: Report, _sources: Sources) -> str:
    import json

    from tritonsmith.backends.checking.formats.flat import as_json

    return json.dumps(as_json(report), indent=2)


def _sarif(report: Report, _sources: Sources) -> str:
    import json

    from tritonsmith.backends.checking.formats.sarif import as_sarif

    return json.dumps(as_sarif(report), indent=2)


def _github(report: Report, _sources: Sources) -> str:
    from tritonsmith.backends.checking.formats.github import as_github

    return as_github(report)


def _junit(report: Report, _sources: Sources) -> str:
    from tritonsmith.backends.checking.formats.junit import as_junit

    return as_junit(report)


FORMATS: dict[str, Callable[[Report, Sources], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "github": _github,
    "junit": _junit,
}
