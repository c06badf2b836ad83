"""The verb report: which kind of document a path is, and what its reports are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf import document as sweeps
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.gate import document as gates
from tritonsmith.perf.gate import page as gate_page
from tritonsmith.perf.gate import text as gate_text
from tritonsmith.perf.report.write import render_report
from tritonsmith.perf.tune import document as tunings
from tritonsmith.perf.tune.report import page as tune_page
from tritonsmith.perf.tune.report import text as tune_text


@dataclass(frozen=True)
class Kind:
    """A kind of document: its file's name, its page's, and what renders it in each form from the document's path."""

    verb: str
    document: str
    page: str
    forms: Mapping[str, Callable[[Path], str]]


def _sweep_form(form: str) -> Callable[[Path], str]:
    return lambda path: render_report(sweeps.read_sweep(path), form)


KINDS = (
    Kind(
        "sweep",
        sweeps.DOCUMENT_NAME,
        "report.html",
        {form: _sweep_form(form) for form in ("html", "markdown", "csv", "json")},
    ),
    Kind(
        "tune",
        tunings.DOCUMENT_NAME,
        tune_page.PAGE_NAME,
        {
            "html": lambda path: tune_page.render_page(tunings.read_tuning(path)),
            "markdown": lambda path: tune_text.as_markdown(tunings.read_tuning(path)),
            "json": lambda path: json.dumps(tunings.as_json(tunings.read_tuning(path)), indent=2),
        },
    ),
    Kind(
        "gate",
        gates.DOCUMENT_NAME,
        "gate.html",
        {
            "html": lambda path: gate_page.render_page(gates.read_gate(path)),
            "markdown": lambda path: gate_text.as_markdown(gates.read_gate(path)),
            "csv": lambda path: gate_text.as_csv(gates.read_gate(path)),
            "junit": lambda path: gate_text.as_junit(gates.read_gate(path)) + "\n",
            "json": lambda path: json.dumps(gates.as_json(gates.read_gate(path)), indent=2),
        },
    ),
)


def report_on(path: Path, form: str) -> str:
    """Return the report on a document, or on the one in a folder, in a form; without one, write its page beside it.

    Raises: UsageError where there is no document, or where its kind has no such form.
    """
    kind = kind_of(path)
    if form and form not in kind.forms:
        hint = f"it has {', '.join(f'--{known}' for known in kind.forms)}"
        raise UsageError(f"what `{kind.verb}` found has no --{form}", hint=hint)
    if form:
        return kind.forms[form](path)
    folder = path if path.is_dir() else path.parent
    return str(write_by_rename(folder / kind.page, kind.forms["html"](path).encode()))


def kind_of(path: Path) -> Kind:
    """Return the kind of a document by its schema, of a folder by which document is in it: the newest, if several.

    What is no document of ours is taken for a sweep's, which says what is wrong with it.
    """
    if path.is_dir():
        found = [kind for kind in KINDS if (path / kind.document).is_file()]
        return max(found, key=lambda kind: (path / kind.document).stat().st_mtime_ns, default=KINDS[0])
    try:
        schema = str(json.loads(path.read_bytes()).get("schema"))
    except (OSError, ValueError, AttributeError):
        return KINDS[0]
    return next((kind for kind in KINDS if schema.startswith(f"tritonsmith.{kind.verb}/")), KINDS[0])
