"""The charts of streamed answers: first tokens, the time between tokens, tokens per second, and good requests."""

from __future__ import annotations

from collections.abc import Sequence

from tritonsmith.perf.measure.load import LoadKind
from tritonsmith.perf.report import svg
from tritonsmith.perf.report.charts import (
    WIDTH,
    Mark,
    load_scale,
    row_label,
    significant_short,
    time_scale,
    unit_of,
    variant_colours,
    variant_legend,
    whisker_line,
)
from tritonsmith.perf.report.numbers import duration, significant
from tritonsmith.perf.summary import Estimate, Point, StreamPoint

HEIGHT, TOP, BOTTOM = 340.0, 60.0, 340.0 - 52
LEFT_PANEL, RIGHT_PANEL = (56.0, WIDTH / 2 - 28), (WIDTH / 2 + 56, WIDTH - 24)
AXES: dict[LoadKind, str] = {"concurrency": "Requests in flight", "request_rate": "Requests sent per second"}
Streamed = tuple[Point, StreamPoint]


def streamed(points: Sequence[Point], kind: LoadKind) -> list[Streamed]:
    """Return the points of one kind of load whose answers streamed."""
    return [(point, point.streams) for point in points if point.streams and point.load.kind == kind]


def token_times(points: Sequence[Point], kind: LoadKind) -> str:
    """Draw the time to the first token and the time between tokens over the loads of one kind, side by side."""
    series = streamed(points, kind)
    variants = variant_colours([point for point, _ in series])
    drawing = [
        _times_panel(series, variants, "ttft", LEFT_PANEL, "Time to first token"),
        _times_panel(series, variants, "inter_token", RIGHT_PANEL, "Time between tokens"),
        variant_legend(variants) if len(variants) > 1 else svg.legend(_quantile_names(), WIDTH - 112, 24, "line"),
    ]
    description = "Median and 99th percentile per load, with intervals over the repeats."
    return svg.chart(WIDTH, HEIGHT, f"Times of tokens over {AXES[kind].lower()}", description, *drawing)


def token_rates(points: Sequence[Point], kind: LoadKind) -> str:
    """Draw the tokens per second and, where there are goals, the good among all requests per second."""
    series = streamed(points, kind)
    variants = variant_colours([point for point, _ in series])
    tokens = [(point, one.output_tokens_per_s) for point, one in series]
    parts = [_rate_panel([("p50", tokens)], variants, LEFT_PANEL, "Output tokens per second", "tokens/s")]
    good = [(point, one.goodput_per_s) for point, one in series if one.goodput_per_s]
    if good:
        lines = [("p95", [(point, point.throughput_per_s) for point, _ in series]), ("p50", good)]
        parts.append(_rate_panel(lines, variants, RIGHT_PANEL, "Requests per second that met every goal", "/s"))
    if len(variants) > 1:
        parts.append(variant_legend(variants))
    elif good:
        parts.append(svg.legend([("all", "p95"), ("good", "p50")], WIDTH - 132, 24, "line"))
    description = "Output tokens per second, and requests per second that met the goals among all, per load."
    return svg.chart(WIDTH, HEIGHT, f"Tokens per second over {AXES[kind].lower()}", description, *parts)


def _times_panel(
    series: Sequence[Streamed], variants: dict[str, str], time: str, edges: tuple[float, float], label: str
) -> str:
    """Draw p50 and p99 of one time; an empty panel where answers had a single response."""
    timed = [(point, one) for point, one in series if f"{time}_p50_us" in one.times]
    if not timed:
        return svg.text(f"{label}: answers have a single response.", edges[0], TOP, class_="tick")
    lows = [one.times[f"{time}_p50_us"].value for _, one in timed]
    y = time_scale(lows, [one.times[f"{time}_p99_us"] for _, one in timed], BOTTOM, TOP)
    unit, factor = unit_of(y.high)
    x = load_scale([point for point, _ in timed], *edges)
    parts = [
        _load_axis([point for point, _ in timed], x),
        svg.axis_left(y, edges[0], edges[1], lambda us: significant_short(us / factor), f"{label}, {unit}"),
    ]
    for variant, colour in variants.items():
        mine = [(point, one) for point, one in timed if point.variant == variant]
        for quantile, own_colour in _quantile_names():
            marks = [
                _mark(point, one, f"{time}_{quantile}_us", x, f"{label.lower()} {quantile}") for point, one in mine
            ]
            parts.append(whisker_line(marks, y, colour or own_colour, is_dashed=bool(colour) and quantile == "p99"))
    return "".join(parts)


def _rate_panel(
    lines: Sequence[tuple[str, Sequence[tuple[Point, Estimate]]]],
    variants: dict[str, str],
    edges: tuple[float, float],
    label: str,
    unit: str,
) -> str:
    """Draw rates over the load, a line for each (colour, estimates); the last one whole, earlier ones dashed."""
    points = [point for point, _ in lines[0][1]]
    y = svg.linear(max(one.interval.high for _, line in lines for _, one in line), BOTTOM, TOP)
    x = load_scale(points, *edges)
    parts = [_load_axis(points, x), svg.axis_left(y, *edges, significant_short, label)]
    for index, (own_colour, line) in enumerate(lines):
        for variant, colour in variants.items():
            marks = [
                Mark(x(point.load.value), one, f"{_where(point)}: {significant(one.value)} {unit}")
                for point, one in line
                if point.variant == variant
            ]
            parts.append(whisker_line(marks, y, colour or own_colour, is_dashed=index < len(lines) - 1))
    return "".join(parts)


def _load_axis(points: Sequence[Point], x: svg.Scale) -> str:
    ticks = sorted({point.load.value for point in points})
    return svg.axis_bottom(x, BOTTOM, TOP, significant_short, AXES[points[0].load.kind], ticks)


def _quantile_names() -> list[tuple[str, str]]:
    return [("p50", "p50"), ("p99", "p99")]


def _mark(point: Point, streams: StreamPoint, name: str, x: svg.Scale, words: str) -> Mark:
    one = streams.times[name]
    tip = f"{_where(point)}: {words} {duration(one.value)}"
    return Mark(x(point.load.value), one, tip, name in streams.unreliable)


def _where(point: Point) -> str:
    return f"{point.variant}: {row_label(point)}" if point.variant else row_label(point)
