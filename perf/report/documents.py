"""The verb report: which kind of document a path is, and what its reports are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import SWEEPS
from tritonsmith.perf.documents import Kind
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.gate import page as gate_page
from tritonsmith.perf.gate import text as gate_text
from tritonsmith.perf.gate.document import GATES
from tritonsmith.perf.plan.document import PLANS
from tritonsmith.perf.plan.show import page as plan_page
from tritonsmith.perf.report.write import render_report
from tritonsmith.perf.tune.document import TUNINGS
from tritonsmith.perf.tune.report import page as tune_page
from tritonsmith.perf.tune.report import text as tune_text


@dataclass(frozen=True)
class Reports:
    """What is made of a kind of document: its page, and what renders it in each form."""

    verb: str
    kind: Kind[Any]
    page: str
    forms: Mapping[str, Callable[[Any], str]]


def _json_of(kind: Kind[Any]) -> Callable[[Any], str]:
    return lambda document: json.dumps(kind.as_json(document), indent=2)


REPORTS = (
    Reports(
        "sweep",
        SWEEPS,
        "report.html",
        {form: partial(render_report, form=form) for form in ("html", "markdown", "csv", "json")},
    ),
    Reports(
        "tune",
        TUNINGS,
        tune_page.PAGE_NAME,
        {"html": tune_page.render_page, "markdown": tune_text.as_markdown, "json": _json_of(TUNINGS)},
    ),
    Reports(
        "plan",
        PLANS,
        plan_page.PAGE_NAME,
        {"html": plan_page.render_page, "json": _json_of(PLANS)},
    ),
    Reports(
        "gate",
        GATES,
        "gate.html",
        {
            "html": gate_page.render_page,
            "markdown": gate_text.as_markdown,
            "csv": gate_text.as_csv,
            "junit": lambda gate: gate_text.as_junit(gate) + "\n",
            "json": _json_of(GATES),
        },
    ),
)


def report_on(path: Path, form: str) -> str:
    """Return the report on a document, or on the one in a folder, in a form; without one, write its page beside it.

    Raises: UsageError where there is no document, or where its kind has no such form.
    """
    reports = reports_on(path)
    if form and form not in reports.forms:
        hint = f"it has {', '.join(f'--{known}' for known in reports.forms)}"
        raise UsageError(f"what `{reports.verb}` found has no --{form}", hint=hint)
    text = reports.forms[form or "html"](reports.kind.read(path))
    if form:
        return text
    folder = path if path.is_dir() else path.parent
    return str(write_by_rename(folder / reports.page, text.encode()))


def reports_on(path: Path) -> Reports:
    """Return the reports on a document by its schema, on a folder's by which is in it: the newest, if several.

    What is no document of ours is taken for a sweep's, which says what is wrong with it.
    """
    if path.is_dir():
        found = [one for one in REPORTS if (path / one.kind.file_name).is_file()]
        return max(found, key=lambda one: (path / one.kind.file_name).stat().st_mtime_ns, default=REPORTS[0])
    try:
        schema = str(json.loads(path.read_bytes()).get("schema"))
    except (OSError, ValueError, AttributeError):
        return REPORTS[0]
    return next((one for one in REPORTS if schema.startswith(f"tritonsmith.{one.verb}/")), REPORTS[0])
