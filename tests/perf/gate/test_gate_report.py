"""The verb report on what `gate` left."""

from collections.abc import Callable
from pathlib import Path

from tritonsmith.perf.gate.document import GATES, Gate
from tritonsmith.perf.report.documents import report_on


def test_report_writes_a_gate_s_page_again(make_gate: Callable[..., Gate], tmp_path: Path) -> None:
    document = GATES.write(make_gate(), tmp_path)
    assert report_on(document, "") == report_on(tmp_path, "") == str(tmp_path / "gate.html")
    assert (tmp_path / "gate.html").read_text().startswith("<!doctype html>")
    assert report_on(tmp_path, "markdown").startswith("<!-- tritonsmith gate -->")
