"""The report as one self-contained HTML page: no script, no network, drawings inline."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report.answers import answer_lines, answer_marks
from tritonsmith.perf.report.charts import row_label
from tritonsmith.perf.report.extras import extra_notes, extra_table
from tritonsmith.perf.report.numbers import duration, interval_words, significant
from tritonsmith.perf.report.pairs import pairing_lines
from tritonsmith.perf.report.render import footer, machine_facts, render
from tritonsmith.perf.report.sections import by_variant, sections
from tritonsmith.perf.report.tables import TOKENS_BY
from tritonsmith.perf.summary import UNSTABLE_SHARE, Estimate, Point, StreamPoint, best_throughput, knee, summarise

STREAM_TIMES_SHOWN = ("ttft", "inter_token", "tpot")


def render_html(sweep: Sweep) -> str:
    """Return the page."""
    points = summarise(sweep)
    return render(
        Path(__file__).parent,
        "sweep",
        title=sweep.plan.model,
        lead=_lead(points),
        headline=_headline(sweep, points),
        variants=[(group[0].variant_label, group[0].variant) for group in by_variant(points) if group[0].variant],
        warnings=_warnings(sweep, points),
        sections=list(sections(points, sweep.pipelines)),
        interval=interval_words(min(point.throughput_per_s.interval.coverage for point in points)),
        repeats=sweep.plan.repeats,
        is_streamed=any(point.is_streamed for point in points),
        is_any_unreliable=any(point.unreliable for point in points),
        groups=[
            {"variant": _title(group[0]), "rows": [_row(sweep, point) for point in group]}
            for group in by_variant(points)
        ],
        streams=_stream_table(sweep, points),
        extras=_extras(points),
        answers=answer_lines(sweep),
        facts=_facts(sweep),
        method=_method(sweep),
        commands=_commands(sweep),
        footer=footer(sweep.schema, sweep.environment.tritonsmith, sweep.started_at),
    )


def _lead(points: Sequence[Point]) -> Markup:
    best, turn = best_throughput(points), knee(points)
    rate = significant(best.throughput_per_s.value)
    text = Markup("At most <b>{} requests per second</b>, with {}.").format(rate, _where(best))
    if turn is best:
        return text
    return text + Markup(" With <b>{}</b> it already answers {:.0%} of that, with p50 {} instead of {}.").format(
        _where(turn),
        turn.throughput_per_s.value / best.throughput_per_s.value,
        duration(turn.latencies["p50_us"].value),
        duration(best.latencies["p50_us"].value),
    )


def _where(point: Point) -> str:
    return f"{row_label(point)} ({point.variant_label})" if point.variant else row_label(point)


def _title(point: Point) -> str:
    return f"{point.variant_label}: {point.variant}" if point.variant else ""


def _headline(sweep: Sweep, points: Sequence[Point]) -> list[dict[str, str]]:
    best, turn = best_throughput(points), knee(points)
    fastest = min(points, key=lambda point: point.latencies["p50_us"].value)
    p50, p99, rate = fastest.latencies["p50_us"], turn.latencies["p99_us"], best.throughput_per_s
    counted = f"in {sweep.measured_s:.0f} s, {sweep.plan.repeats} repeats of each load"
    return [
        _number("Highest throughput", significant(rate.value), "/s", f"{_between(rate, significant)}, {_where(best)}"),
        _number("Fastest median answer", *_split(p50.value), f"{_between(p50, duration)}, {_where(fastest)}"),
        _number("p99 at the knee", *_split(p99.value), f"{_between(p99, duration)}, {_where(turn)}"),
        _number("Counted", f"{sum(point.requests for point in points):,}", "requests", counted),
    ]


def _number(name: str, value: str, unit: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "unit": unit, "note": note}


def _split(us: float) -> tuple[str, str]:
    value, unit = duration(us).split()
    return value, unit


def _between(estimate: Estimate, format_: Callable[[float], str]) -> str:
    return f"{format_(estimate.interval.low)} to {format_(estimate.interval.high)}"


def _warnings(sweep: Sweep, points: Sequence[Point]) -> list[str]:
    notes = [f"{_where(point)}: {remark}." for point in points for remark in point.remarks]
    if not sweep.is_complete:
        notes.insert(0, f"The sweep was interrupted: {len(sweep.cells)} of {sweep.plan.cells} cells are measured.")
    return notes


def _row(sweep: Sweep, point: Point) -> dict[str, Any]:
    """Return a line of the table."""
    rate = point.throughput_per_s
    cells = [_cell(significant(rate.value), _between(rate, significant))]
    for name in ("p50_us", "p90_us", "p95_us", "p99_us"):
        one = point.latencies[name]
        cells.append(_cell(_milliseconds(one.value), _between(one, _milliseconds), name in point.unreliable))
    if point.is_streamed:
        responses, first = point.responses_per_s, point.first_response_p50_us
        cells.append(_cell(significant(responses.value), _between(responses, significant)))
        cells.append(_cell(_milliseconds(first.value), _between(first, _milliseconds)))
    return {
        "load": row_label(point),
        "cells": cells,
        "requests": f"{point.requests:,}",
        "remarks": "; ".join([*answer_marks(sweep, point.load), *point.remarks]),
        "is_unstable": point.is_unstable,
    }


def _stream_table(sweep: Sweep, points: Sequence[Point]) -> dict[str, Any]:
    """Return the table of streamed answers: a note, the columns, and a line per point; empty where none streamed."""
    streamed = [(point, point.streams) for point in points if point.streams]
    if not streamed:
        return {}
    columns = [f"{kind} {quantile}, ms" for kind in ("TTFT", "ITL", "TPOT") for quantile in ("p50", "p99")]
    note = TOKENS_BY[streamed[0][1].tokens_by]
    return {
        "note": f"{note} Goodput counts the requests with {sweep.plan.goals} at most." if sweep.plan.goals else note,
        "columns": ["Tokens/s", "Each", *columns, *(["Goodput/s"] if sweep.plan.goals else [])],
        "rows": [{"load": _where(point), "cells": list(_stream_cells(one))} for point, one in streamed],
    }


def _extras(points: Sequence[Point]) -> dict[str, Any]:
    """Return the table of waiting, costs and energy; empty where there is nothing to tell."""
    table = extra_table(points, [_where(point) for point in points])
    return {"columns": table[0], "rows": table[1], "note": extra_notes(table[0])} if table else {}


def _stream_cells(streams: StreamPoint) -> Iterator[dict[str, Any]]:
    for rate in (streams.output_tokens_per_s, streams.output_tokens):
        yield _cell(significant(rate.value), _between(rate, significant))
    for name in (f"{kind}_{quantile}_us" for kind in STREAM_TIMES_SHOWN for quantile in ("p50", "p99")):
        one = streams.times.get(name)
        if one is None:
            yield _cell("-", "")
        else:
            yield _cell(_milliseconds(one.value), _between(one, _milliseconds), name in streams.unreliable)
    if good := streams.goodput_per_s:
        yield _cell(f"{significant(good.value)}, {streams.good_share:.0%}", _between(good, significant))


def _cell(value: str, interval: str, is_doubtful: object = False) -> dict[str, Any]:
    return {"value": value, "interval": interval, "is_doubtful": is_doubtful}


def _milliseconds(us: float) -> str:
    return significant(us / 1e3)


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    plan = sweep.plan
    made_up = "made up: floats in [0, 1), integers 0 to 9; 16 rows in turn"
    window_ms = plan.window_ms * 1.2
    return [
        *machine_facts(sweep.environment, plan.protocol),
        *([("Measured with", "; ".join(sweep.notices))] if sweep.notices else []),
        *([("Paired", "; ".join(paired))] if (paired := pairing_lines(sweep)) else []),
        ("Input", plan.prompts or (plan.input_data.name if plan.input_data else made_up)),
        *([("Replayed", str(plan.replay))] if plan.replay else []),
        (
            "Cells",
            f"{len(sweep.cells)} of {plan.cells}, {window_ms * 3 / 1000:.2g} s each in three windows; seed {plan.seed}",
        ),
        ("Identity", f"{sweep.identity[:16]} (configurations, files, input, machine)"),
    ]


def _method(sweep: Sweep) -> dict[str, str]:
    """Return the numbers in the description of the method."""
    busiest = max((cell.measurement.generator_cores for cell in sweep.cells), default=0.0)
    steal = max((cell.measurement.machine.steal_share for cell in sweep.cells), default=0.0)
    return {"unstable": f"{UNSTABLE_SHARE:.0%}", "generator": f"{busiest:.2f}", "steal": f"{steal:.1%}"}


def _commands(sweep: Sweep) -> list[str]:
    commands: dict[Load, str] = {}
    for cell in sorted(sweep.cells, key=lambda cell: cell.measurement.load.order):
        commands.setdefault(cell.measurement.load, shlex.join(["perf_analyzer", *cell.command[1:]]))
    return list(commands.values())
