"""The report as text: a table for the terminal, Markdown for a comment, CSV for a spreadsheet, JSON for machines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tritonsmith.generator import console
from tritonsmith.perf.document import Sweep, as_json
from tritonsmith.perf.measure.profile import TokenSource
from tritonsmith.perf.paired import Pairing, pairings
from tritonsmith.perf.report.answers import answer_lines, answer_marks
from tritonsmith.perf.report.extras import WAITING, extra_notes, extra_table, waiting_words
from tritonsmith.perf.report.numbers import interval_words, ms_between, rate_between
from tritonsmith.perf.report.pairs import pairing_lines
from tritonsmith.perf.summary import LATENCIES, Estimate, Point, StreamPoint, summarise

HEADER = ("load", "requests/s", "p50 ms", "p99 ms")
FIRST_HEADER = ("load", "tokens/s", "tokens each", "TTFT p50 ms", "TTFT p99 ms")
TOKENS_BY: dict[TokenSource, str] = {
    "sequence_length": "Tokens as the model counts them (sequence_length).",
    "output_ids": "Tokens are those in output_ids.",
    "responses": "A response counts as one token: nothing in the answers says how many it holds.",
}
TOKEN_HEADER = ("load", "ITL p50 ms", "ITL p99 ms", "TPOT p50 ms")


def table_text(sweep: Sweep) -> str:
    """Return load -> throughput, p50, p99, each with the interval of its median; remarks follow below."""
    points = summarise(sweep)
    rows = [(name_of(point), *_numbers(point)) for point in points]
    tables = [console.table(HEADER, rows), *(console.table(*one) for one in stream_tables(sweep, points))]
    remarks = [*([f"replayed {sweep.plan.replay}"] if sweep.plan.replay else []), *answer_lines(sweep)]
    remarks += pairing_lines(sweep)
    remarks += [f"{name_of(point)}: {remark}" for point in points for remark in point.remarks]
    notices = [f"measured with: {line}" for line in sweep.notices]
    extra = extra_table(points, [name_of(point) for point in points])
    waiting = ["", console.table(*extra), "", extra_notes(extra[0])] if extra else []
    return "\n".join(["\n\n".join(tables), "", intervals_note(sweep, points), *notices, *remarks, *waiting])


def stream_tables(sweep: Sweep, points: Sequence[Point]) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Yield header and rows of what streamed answers were like: first tokens, then the others, with the goodput."""
    streamed = [(name_of(point), point.streams) for point in points if point.streams]
    if not streamed:
        return
    goodput = (f"goodput/s ({sweep.plan.goals})",) if sweep.plan.goals else ()
    yield FIRST_HEADER, [(name, *_first_tokens(one)) for name, one in streamed]
    yield (*TOKEN_HEADER, *goodput), [(name, *_later_tokens(one)) for name, one in streamed]


def _first_tokens(point: StreamPoint) -> tuple[str, ...]:
    counts = (rate_between(point.output_tokens_per_s), rate_between(point.output_tokens))
    return *counts, *(_time(point, f"ttft_{name}") for name in ("p50_us", "p99_us"))


def _later_tokens(point: StreamPoint) -> tuple[str, ...]:
    times = [_time(point, name) for name in ("inter_token_p50_us", "inter_token_p99_us", "tpot_p50_us")]
    return (
        (*times, f"{rate_between(point.goodput_per_s)}, {point.good_share:.0%}")
        if point.goodput_per_s
        else tuple(times)
    )


def _time(point: StreamPoint, name: str) -> str:
    """Return a time in milliseconds; a dash where answers had a single response."""
    if name not in point.times:
        return "-"
    return ms_between(point.times[name]) + ("*" if name in point.unreliable else "")


def render_markdown(sweep: Sweep) -> str:
    """Return the table as Markdown."""
    points, machine = summarise(sweep), sweep.environment
    lines = [
        f"### {sweep.plan.model}",
        "",
        "| " + " | ".join((*HEADER, "mean batch", WAITING, "remarks")) + " |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for point in points:
        batches = ", ".join(f"{step.model} {step.mean_batch_size:.2f}" for step in point.steps)
        cells = (name_of(point), *_numbers(point), batches, waiting_words(point), "; ".join(_remarks(sweep, point)))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    for header, rows in stream_tables(sweep, points):
        lines += ["", "| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
        lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    if extra := extra_table(points, [name_of(point) for point in points], without=WAITING):
        header, cells_of = extra
        lines += ["", "| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
        lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in cells_of]
        lines += ["", extra_notes(header)]
    lines += [line for answer in answer_lines(sweep) for line in ("", f"**{answer}**")]
    lines += [line for pairing in pairing_lines(sweep) for line in ("", pairing)]
    server = f"tritonserver {machine.server}, perf_analyzer {machine.perf_analyzer}"
    notices = "".join(f"; {line}" for line in sweep.notices)
    lines += ["", f"{intervals_note(sweep, points)} {machine.cpu}, {machine.cores} cores; {server}{notices}."]
    return "\n".join(lines) + "\n"


def render_csv(sweep: Sweep) -> str:
    """Return one row per point: every estimate with its interval, and every step's times; times in microseconds.

    Where several hosts measured, a variant's row ends with what it is of the first, as ratios.
    """
    paired = {(one.load, one.variant): one for one in pairings(sweep)}
    rows = [_csv_row(point) | _paired(paired.get((point.load, point.variant))) for point in summarise(sweep)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_report_json(sweep: Sweep) -> dict[str, Any]:
    """Return the sweep document with the points that it comes to, and variants beside the first on the same host."""
    points, paired = summarise(sweep), pairings(sweep)
    return {**as_json(sweep), "points": [asdict(one) for one in points], "pairings": [asdict(one) for one in paired]}


def name_of(point: Point) -> str:
    """Return a point's name."""
    return f"{point.load}, {point.variant}" if point.variant else str(point.load)


def intervals_note(sweep: Sweep, points: Sequence[Point]) -> str:
    """Say what stands in brackets and what the asterisk means."""
    if not points:
        return "Nothing is measured yet."
    coverage = min(point.throughput_per_s.interval.coverage for point in points)
    if sweep.plan.slo:
        counts = [point.repeats for point in points]
        times = f"{min(counts)} to {max(counts)} times" if min(counts) < max(counts) else f"{max(counts)} times"
        note = f"Each level was measured until it was clear, {times}: medians, and in brackets the range."
    else:
        note = f"Medians over {sweep.plan.repeats} repeats; in brackets {interval_words(coverage)}."
    is_any_doubtful = any("p99_us" in point.unreliable for point in points)
    streams = [point.streams for point in points if point.streams]
    if streams:
        note += f" {TOKENS_BY[streams[0].tokens_by]}"
    if any(one.unreliable for one in streams):
        return note + " * fewer than ten values beyond it in a repeat: take it as a hint."
    return note + (" * fewer than 1,000 requests in a repeat: take this p99 as a hint." if is_any_doubtful else "")


def _remarks(sweep: Sweep, point: Point) -> list[str]:
    return [*answer_marks(sweep, point.load), *point.remarks]


def _numbers(point: Point) -> tuple[str, str, str]:
    doubt = "*" if "p99_us" in point.unreliable else ""
    p50, p99 = point.latencies["p50_us"], point.latencies["p99_us"]
    return rate_between(point.throughput_per_s), ms_between(p50), ms_between(p99) + doubt


def _stream_estimates(streams: StreamPoint | None) -> dict[str, Estimate]:
    """Return the estimates of streamed answers by column."""
    if streams is None:
        return {}
    estimates = {"output_tokens_per_s": streams.output_tokens_per_s, "output_tokens": streams.output_tokens}
    return estimates | streams.times | ({"goodput_per_s": streams.goodput_per_s} if streams.goodput_per_s else {})


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
        **_stream_estimates(point.streams),
    }
    for name, one in estimates.items():
        row |= {name: one.value, f"{name}_low": one.interval.low, f"{name}_high": one.interval.high}
    if point.streams:
        row |= {"tokens_by": point.streams.tokens_by}
        row |= {"good_share": round(point.streams.good_share, 4)} if point.streams.goodput_per_s else {}
    row |= {"client_us": point.client_us, "overhead_us": point.overhead_us, "server_us": point.server_us}
    for step in point.steps:
        times = ("queue_us", "compute_input_us", "compute_infer_us", "compute_output_us")
        row |= {f"{step.model}.{name}": getattr(step, name) for name in times}
        row[f"{step.model}.mean_batch_size"] = round(step.mean_batch_size, 3)
    row |= {f"{model}.queue_to_compute": ratio for model, ratio in point.queue_to_compute.items()}
    for name in ("cost_per_million_requests", "cost_per_million_tokens", "joules_per_request"):
        row |= {name: getattr(point, name)} if getattr(point, name) is not None else {}
    for use in point.caches:
        row |= {f"{use.model}.cache_hits": use.hits, f"{use.model}.cache_misses": use.misses}
    return {**row, "remarks": "; ".join(point.remarks)}


def _paired(pairing: Pairing | None) -> dict[str, Any]:
    """Return the columns of a point beside the first variant's on the same hosts; 1.1 is 10 % more."""
    if pairing is None:
        return {}
    row: dict[str, Any] = {"paired_with": pairing.baseline, "pairs": pairing.pairs}
    for name, ratio in {"throughput_ratio": pairing.throughput, "p50_ratio": pairing.p50}.items():
        row |= {name: ratio.value, f"{name}_low": ratio.interval.low, f"{name}_high": ratio.interval.high}
    return row
