"""A sweep as a page, a table or a list: HTML, Markdown, CSV, JSON."""

from tritonsmith.perf.report.tables import table_text
from tritonsmith.perf.report.write import render_report, write_report

__all__ = ["render_report", "table_text", "write_report"]
