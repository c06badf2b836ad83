"""A sweep's report: as text in any of its forms, and as the page in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.files import write_by_rename, writing
from tritonsmith.perf.report.page import render_html
from tritonsmith.perf.report.tables import as_report_json, render_csv, render_markdown


def render_report(sweep: Sweep, form: str) -> str:
    """Return the report as html, markdown, csv or json.

    Raises: UsageError where nothing was measured.
    """
    if not sweep.cells:
        raise UsageError("the sweep has no measured cell", hint="`tritonsmith sweep` continues it")
    renderers: dict[str, Callable[[Sweep], str]] = {
        "html": render_html,
        "markdown": render_markdown,
        "csv": render_csv,
        "json": lambda one: json.dumps(as_report_json(one), indent=2) + "\n",
    }
    return renderers[form](sweep)


def write_report(sweep: Sweep, path: Path) -> Path:
    """Write the page and return its path.

    Raises: UsageError where nothing was measured, or the disk does not take it.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return write_by_rename(path, render_report(sweep, "html").encode())
