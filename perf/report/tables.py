"""The report as text: a table for the terminal, Markdown for a comment, CSV for a spreadsheet, JSON for machines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tritonsmith.generator import console
from tritonsmith.perf.document import Sweep, as_json
from tritonsmith.perf.report.numbers import interval_words, ms_between, rate_between
from tritonsmith.perf.summary import LATENCIES, Point, summarise

HEADER = ("load", "requests/s", "p50 ms", "p99 ms")


def table_text(sweep: Sweep) -> str:
    """Return load -> throughput, p50, p99, each with the interval of its median; remarks follow below."""
    points = summarise(sweep)
    rows = [(name_of(point), *_numbers(point)) for point in points]
    remarks = [f"{name_of(point)}: {remark}" for point in points for remark in point.remarks]
    notices = [f"measured with: {line}" for line in sweep.notices]
    return "\n".join([console.table(HEADER, rows), "", intervals_note(sweep, points), *notices, *remarks])


def render_markdown(sweep: Sweep) -> str:
    """Return the table as Markdown."""
    points, machine = summarise(sweep), sweep.environment
    lines = [
        f"### {sweep.plan.model}",
        "",
        "| " + " | ".join((*HEADER, "mean batch", "remarks")) + " |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for point in points:
        batches = ", ".join(f"{step.model} {step.mean_batch_size:.2f}" for step in point.steps)
        cells = (name_of(point), *_numbers(point), batches, "; ".join(point.remarks))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    server = f"tritonserver {machine.server}, perf_analyzer {machine.perf_analyzer}"
    notices = "".join(f"; {line}" for line in sweep.notices)
    lines += ["", f"{intervals_note(sweep, points)} {machine.cpu}, {machine.cores} cores; {server}{notices}."]
    return "\n".join(lines) + "\n"


def render_csv(sweep: Sweep) -> str:
    """Return one row per point: every estimate with its interval, and every step's times; times in microseconds."""
    rows = [_csv_row(point) for point in summarise(sweep)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_report_json(sweep: Sweep) -> dict[str, Any]:
    """Return the sweep document with the points that it comes to."""
    return {**as_json(sweep), "points": [asdict(point) for point in summarise(sweep)]}


def name_of(point: Point) -> str:
    """Return a point's name."""
    return f"{point.load}, {point.variant}" if point.variant else str(point.load)


def intervals_note(sweep: Sweep, points: Sequence[Point]) -> str:
    """Say what stands in brackets and what the asterisk means."""
    if not points:
        return "Nothing is measured yet."
    coverage = min(point.throughput_per_s.interval.coverage for point in points)
    note = f"Medians over {sweep.plan.repeats} repeats; in brackets {interval_words(coverage)}."
    is_any_doubtful = any("p99_us" in point.unreliable for point in points)
    return note + (" * fewer than 1,000 requests in a repeat: take this p99 as a hint." if is_any_doubtful else "")


def _numbers(point: Point) -> tuple[str, str, str]:
    doubt = "*" if "p99_us" in point.unreliable else ""
    p50, p99 = point.latencies["p50_us"], point.latencies["p99_us"]
    return rate_between(point.throughput_per_s), ms_between(p50), ms_between(p99) + doubt


def _csv_row(point: Point) -> dict[str, Any]:
    row: dict[str, Any] = {
        "load_kind": point.load.kind,
        "load": f"{point.load.value:g}",
        "variant": point.variant,
        "repeats": point.repeats,
        "requests": point.requests,
        "is_unstable": point.is_unstable,
        "unreliable": " ".join(point.unreliable),
    }
    estimates = {
        "throughput_per_s": point.throughput_per_s,
        **{name: point.latencies[name] for name in LATENCIES},
        "responses_per_s": point.responses_per_s,
        "first_response_p50_us": point.first_response_p50_us,
    }
    for name, one in estimates.items():
        row |= {name: one.value, f"{name}_low": one.interval.low, f"{name}_high": one.interval.high}
    row |= {"client_us": point.client_us, "overhead_us": point.overhead_us, "server_us": point.server_us}
    for step in point.steps:
        times = ("queue_us", "compute_input_us", "compute_infer_us", "compute_output_us")
        row |= {f"{step.model}.{name}": getattr(step, name) for name in times}
        row[f"{step.model}.mean_batch_size"] = round(step.mean_batch_size, 3)
    for use in point.caches:
        row |= {f"{use.model}.cache_hits": use.hits, f"{use.model}.cache_misses": use.misses}
    return {**row, "remarks": "; ".join(point.remarks)}
