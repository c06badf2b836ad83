"""The report as one self-contained HTML page: no script, no network, drawings inline."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report import bars, charts
from tritonsmith.perf.report.numbers import duration, significant
from tritonsmith.perf.summary import UNSTABLE_SHARE, Estimate, Point, summarise

COLOURS = ("p50", "p95", "p99", "client", "network", "queue", "input", "infer", "output", *charts.SERIES)


@dataclass(frozen=True)
class Figure:
    """A drawing and the line above it."""

    svg: Markup
    heading: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page: what is drawn, and how to read it."""

    key: str
    title: str
    text: str
    figures: tuple[Figure, ...]


def render_html(sweep: Sweep) -> str:
    """Return the page."""
    points = summarise(sweep)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html.j2").render(
        title=sweep.plan.model,
        lead=_lead(sweep, points),
        headline=_headline(sweep, points),
        warnings=_warnings(sweep, points),
        sections=list(_sections(points)),
        table_text=_table_text(sweep, points),
        groups=_groups(points),
        facts=_facts(sweep),
        method=_method(sweep),
        commands=_commands(sweep),
        colours=COLOURS,
        footer=_footer(sweep),
    )


def best_throughput(points: Sequence[Point]) -> Point:
    """Return the point that answered the most requests per second."""
    return max(points, key=lambda point: point.throughput_per_s.value)


def knee(points: Sequence[Point]) -> Point:
    """Return the point with the least p50 among those with at least 90 % of the best throughput."""
    enough = 0.9 * best_throughput(points).throughput_per_s.value
    return min(
        (point for point in points if point.throughput_per_s.value >= enough),
        key=lambda point: point.latencies["p50_us"].value,
    )


def _footer(sweep: Sweep) -> str:
    started = sweep.started_at[:19].replace("T", " ")
    return f"{sweep.schema} · tritonsmith {sweep.environment.tritonsmith} · {started} UTC"


def _lead(sweep: Sweep, points: Sequence[Point]) -> Markup:
    best, turn = best_throughput(points), knee(points)
    text = Markup("At most <b>{} requests per second</b>, with {}.").format(
        significant(best.throughput_per_s.value), _where(best)
    )
    if turn is best:
        return text
    return text + Markup(" At <b>{}</b> it already answers {:.0%} of that, with p50 {} instead of {}.").format(
        _where(turn),
        turn.throughput_per_s.value / best.throughput_per_s.value,
        duration(turn.latencies["p50_us"].value),
        duration(best.latencies["p50_us"].value),
    )


def _where(point: Point) -> str:
    load = (
        f"{point.load.value:g} in flight"
        if point.load.kind == "concurrency"
        else f"{point.load.value:g} sent per second"
    )
    return f"{load} ({point.variant})" if point.variant else load


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


def _between(estimate: Estimate, format_: Any) -> str:
    return f"{format_(estimate.interval.low)} to {format_(estimate.interval.high)}"


def _warnings(sweep: Sweep, points: Sequence[Point]) -> list[str]:
    notes = [f"{_where(point)}: {remark}." for point in points for remark in point.remarks]
    if not sweep.is_complete:
        notes.insert(0, f"The sweep was interrupted: {len(sweep.cells)} of {sweep.plan.cells} cells are measured.")
    return notes


def _sections(points: Sequence[Point]) -> Iterator[Section]:
    yield Section(
        "throughput-latency",
        "Throughput against latency",
        "Each stem is one load: below the median latency, above the 99th percentile. Whiskers span the interval of the "
        "median over the repeats. Hollow marks rest on too few requests.",
        (Figure(Markup(charts.throughput_latency(points))),),  # noqa: S704 - our own drawing, its texts are escaped
    )
    kinds = {point.load.kind for point in points}
    if "concurrency" in kinds:
        yield _section(
            "concurrency",
            "With more requests in flight",
            "What each further client buys, and what it costs.",
            charts.load_curves(points),
        )
    if "request_rate" in kinds:
        text = "Requests are sent whether or not earlier ones were answered. On the dotted line the server keeps up."
        yield _section("rate", "With more requests per second", text, charts.rate_curve(points))
    yield from _breakdown_sections(points)
    text = (
        "Every measurement window against the median of its load: flat rows can be believed. Windows more than 25 % off "
        "are marked; at the right stands the spread between repeats."
    )
    yield _variant_section("stability", "How steady it was", text, points, bars.stability)


def _breakdown_sections(points: Sequence[Point]) -> Iterator[Section]:
    text = "The mean latency of a request, split into what the client, the network and the server's phases took."
    yield _variant_section("breakdown", "Where the time goes", text, points, bars.breakdown)
    models = list(dict.fromkeys(step.model for point in points for step in point.steps))
    high_us = bars.slowest_step_us(points)
    if len(models) > 1:
        figures = [
            Figure(Markup(bars.step_breakdown(group, model, high_us)), _heading(model, variant))  # noqa: S704
            for model in models
            for variant, group in _by_variant(points)
        ]
        text = "The same for each step of the ensemble, from the server's statistics, all on one scale."
        yield Section("steps", "Step by step", text, tuple(figures))
    batched = [model for model in models if any(len(_sizes(point, model)) > 1 for point in points)]
    if batched:
        figures = [
            Figure(Markup(bars.batch_sizes(group, model)), _heading(model, variant))  # noqa: S704
            for model in batched
            for variant, group in _by_variant(points)
        ]
        text = "How many requests the server ran together: the share of executions by batch size, and the mean size."
        yield Section("batches", "Batch sizes", text, tuple(figures))


def _sizes(point: Point, model: str) -> set[int]:
    return {size for step in point.steps if step.model == model for size in step.batch_sizes} | {1}


def _section(key: str, title: str, text: str, drawing: str) -> Section:
    return Section(key, title, text, (Figure(Markup(drawing)),))  # noqa: S704


def _variant_section(key: str, title: str, text: str, points: Sequence[Point], draw: Any) -> Section:
    figures = tuple(Figure(Markup(draw(group)), variant) for variant, group in _by_variant(points))  # noqa: S704
    return Section(key, title, text, figures)


def _by_variant(points: Sequence[Point]) -> list[tuple[str, list[Point]]]:
    names = dict.fromkeys(point.variant for point in points)
    return [(name, [point for point in points if point.variant == name]) for name in names]


def _heading(model: str, variant: str) -> str:
    return f"{model}: {variant}" if variant else model


def _table_text(sweep: Sweep, points: Sequence[Point]) -> str:
    coverage = points[0].throughput_per_s.interval.coverage
    text = (
        f"Medians over {sweep.plan.repeats} repeats; below each the {coverage:.0%} confidence interval of the median."
    )
    if any(point.unreliable for point in points):
        text += (
            " An asterisk marks a quantile with fewer than ten requests beyond it in some repeat: take it as a hint."
        )
    return text


def _groups(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [{"variant": variant, "rows": [_row(point) for point in group]} for variant, group in _by_variant(points)]


def _row(point: Point) -> dict[str, Any]:
    cells = [
        {
            "value": significant(point.throughput_per_s.value),
            "interval": _between(point.throughput_per_s, significant),
            "is_doubtful": False,
        }
    ]
    for name in ("p50_us", "p90_us", "p95_us", "p99_us"):
        one = point.latencies[name]
        interval = _between(one, lambda us: significant(us / 1e3))
        cells.append(
            {"value": significant(one.value / 1e3), "interval": interval, "is_doubtful": name in point.unreliable}
        )
    remarks = "; ".join(point.remarks)
    return {
        "load": charts.row_label(point),
        "cells": cells,
        "requests": f"{point.requests:,}",
        "remarks": remarks,
        "is_unstable": point.is_unstable,
    }


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    machine, plan = sweep.environment, sweep.plan
    return [
        ("Machine", f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB"),
        ("Server", f"tritonserver {machine.server}"),
        ("Load generator", f"perf_analyzer {machine.perf_analyzer} over {plan.protocol}"),
        ("System", f"Linux {machine.kernel}, glibc {machine.glibc}, Python {machine.python}"),
        (
            "Input",
            str(plan.input_data) if plan.input_data else "made up: floats in [0, 1), integers 0 to 9, 16 rows in turn",
        ),
        (
            "Measured",
            f"{len(sweep.cells)} of {plan.cells} cells; a repeat has three windows of {plan.window_ms * 1.2:.0f} ms",
        ),
        ("What was served", sweep.identity[:16]),
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
