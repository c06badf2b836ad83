"""The charts of a sweep with a latency or a load on an axis, each a function from points to SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tritonsmith.perf.measure.load import LoadKind
from tritonsmith.perf.report import svg
from tritonsmith.perf.report.numbers import duration, significant
from tritonsmith.perf.statistics import Interval
from tritonsmith.perf.summary import Estimate, Point

WIDTH = 1040.0
SERIES = tuple(f"s{index}" for index in range(1, 9))  # colours of variants
CHARACTER = 6.6  # pixels per character of a tick's text


def throughput_latency(points: Sequence[Point]) -> str:
    """Draw latency over throughput: per load p50 and p99, joined, each with the interval of its median."""
    height, left, right, top, bottom = 440.0, 56.0, WIDTH - 24, 60.0, 440.0 - 52
    x = svg.linear(max(point.throughput_per_s.interval.high for point in points), left, right)
    y = _latency_scale(points, bottom, top)
    unit, factor = unit_of(y.high)
    variants = variant_colours(points)
    parts = [
        svg.axis_bottom(x, bottom, top, significant_short, "Requests answered per second"),
        svg.axis_left(y, left, right, lambda us: significant_short(us / factor), f"Latency, {unit}"),
    ]
    for variant, colour in variants.items():
        for kind in ("concurrency", "request_rate"):
            series = [point for point in points if point.variant == variant and point.load.kind == kind]
            parts += [_curve(series, name, x, y, colour or name) for name in ("p50", "p99")]
    labels = Labels()
    for point in points:
        parts.append(_dumbbell(point, x, y, variants[point.variant]))
    for point in points:
        peak = y(point.latencies["p99_us"].value)
        class_ = "tick strong warn" if point.is_unstable else "tick strong"
        parts.append(labels.place(short_load(point), x(point.throughput_per_s.value), peak, class_))
    return svg.chart(
        WIDTH,
        height,
        "Throughput against latency",
        "For each load the median throughput and the median p50 and p99 latency over the repeats, with intervals.",
        _throughput_latency_legend(points, variants),
        *parts,
    )


def load_curves(points: Sequence[Point], kind: LoadKind) -> str:
    """Draw throughput and latency quantiles over the loads of one kind, side by side."""
    series = [point for point in points if point.load.kind == kind]
    variants = variant_colours(series)
    height, top, bottom, half = 340.0, 60.0, 340.0 - 52, WIDTH / 2
    left_x, right_x = load_scale(series, 56, half - 28), load_scale(series, half + 56, WIDTH - 24)
    rate = svg.linear(max(point.throughput_per_s.interval.high for point in series), bottom, top)
    latency = _latency_scale(series, bottom, top)
    unit, factor = unit_of(latency.high)
    ticks = sorted({point.load.value for point in series})
    label = "Requests in flight" if kind == "concurrency" else "Requests sent per second"
    parts = [
        svg.axis_bottom(left_x, bottom, top, significant_short, label, ticks),
        svg.axis_left(rate, 56, half - 28, significant_short, "Requests answered per second"),
        svg.axis_bottom(right_x, bottom, top, significant_short, label, ticks),
        svg.axis_left(latency, half + 56, WIDTH - 24, lambda us: significant_short(us / factor), f"Latency, {unit}"),
    ]
    if kind == "request_rate":
        kept_up = min(left_x.high, rate.high)
        parts.append(svg.line(left_x(0), rate(0), left_x(kept_up), rate(kept_up), "diagonal"))
    for variant, colour in variants.items():
        mine = [point for point in series if point.variant == variant]
        parts.append(_quantile_line(mine, left_x, rate, "throughput", colour or "p50"))
        names = ("p50", "p99") if colour else ("p50", "p95", "p99")
        parts += [_quantile_line(mine, right_x, latency, name, colour or name) for name in names]
    quantiles = [(name, name) for name in ("p50", "p95", "p99")]
    parts.append(variant_legend(variants) if len(variants) > 1 else svg.legend(quantiles, WIDTH - 188, 24, "line"))
    return svg.chart(
        WIDTH,
        height,
        f"Throughput and latency over {label.lower()}",
        "Median throughput and latency quantiles per load, with intervals of the median.",
        *parts,
    )


def short_load(point: Point) -> str:
    """Return a load's short name: "8" for a concurrency, "100/s" for a rate."""
    value = f"{point.load.value:g}"
    return value if point.load.kind == "concurrency" else f"{value}/s"


def row_label(point: Point) -> str:
    """Return a row's name."""
    return f"{point.load.value:g} in flight" if point.load.kind == "concurrency" else f"{point.load.value:g}/s sent"


def significant_short(value: float) -> str:
    """Return a tick's number without needless digits."""
    return f"{value:,.6g}"


class Labels:
    """Places names beside marks where none is yet; a name that finds no room is left to its tooltip."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float, float, float]] = []

    def place(self, name: str, x: float, y: float, class_: str) -> str:
        """Return the name as text near (x, y), or nothing."""
        width = CHARACTER * len(name) + 6
        for dx, dy in ((width / 2 + 7, -2), (-width / 2 - 7, -2), (0, -16), (0, -30), (width / 2 + 7, 12)):
            box = (x + dx - width / 2, y + dy - 8, x + dx + width / 2, y + dy + 6)
            if box[2] < WIDTH and not any(_overlap(box, other) for other in self._taken):
                self._taken.append(box)
                return svg.text(name, x + dx, y + dy + 4, class_=class_, text_anchor="middle")
        return ""


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _latency_scale(points: Sequence[Point], bottom: float, top: float) -> svg.Scale:
    lows = [point.latencies["p50_us"].value for point in points]
    return time_scale(lows, [point.latencies["p99_us"] for point in points], bottom, top)


def time_scale(lows_us: Sequence[float], highs: Sequence[Estimate], bottom: float, top: float) -> svg.Scale:
    """Return a linear scale, a logarithmic one where times span more than a factor of 12."""
    # one disturbed repeat must not press all else flat: whiskers beyond this end in an arrow
    high = min(max(one.interval.high for one in highs), 1.5 * max(one.value for one in highs))
    if high / max(min(lows_us), 1.0) > 12:
        return svg.logarithmic(min(lows_us), high, bottom, top)
    return svg.linear(high * 1.05, bottom, top)


def load_scale(points: Sequence[Point], start: float, end: float) -> svg.Scale:
    """Return a logarithmic scale of concurrencies, a linear one of rates."""
    loads = [point.load.value for point in points]
    if points[0].load.kind == "request_rate":
        return svg.Scale(0.0, 1.05 * max(loads), start, end)
    if min(loads) == max(loads):
        return svg.Scale(loads[0] / 2, loads[0] * 2, start, end, is_log=True)
    return svg.Scale(min(loads), max(loads), start + 16, end - 16, is_log=True)


def unit_of(high_us: float) -> tuple[str, float]:
    """Return the unit that suits an axis up to so many microseconds, and its size in microseconds."""
    if high_us < 2_000:
        return "µs", 1.0
    return ("ms", 1e3) if high_us < 2e6 else ("s", 1e6)


def variant_colours(points: Sequence[Point]) -> dict[str, str]:
    """Return variant -> colour class; one variant alone has none, so that quantiles can have the colours."""
    names = list(dict.fromkeys(point.variant for point in points))
    if len(names) == 1:
        return {names[0]: ""}
    return {name: SERIES[index % len(SERIES)] for index, name in enumerate(names)}


def _value(point: Point, name: str) -> Estimate:
    return point.throughput_per_s if name == "throughput" else point.latencies[f"{name}_us"]


def _curve(series: Sequence[Point], name: str, x: svg.Scale, y: svg.Scale, colour: str) -> str:
    places = [(x(point.throughput_per_s.value), y(_value(point, name).value)) for point in series]
    return svg.path(places, f"line faint {colour}{' dashed' if name == 'p99' else ''}")


def _dumbbell(point: Point, x: svg.Scale, y: svg.Scale, colour: str) -> str:
    """Draw one load: p50 and p99 on a stem, whiskers for the intervals of both latencies and of the throughput."""
    rate, p50, p99 = point.throughput_per_s, point.latencies["p50_us"], point.latencies["p99_us"]
    at = x(rate.value)
    parts = [svg.tooltip(describe(point)), svg.line(at, y(p50.value), at, y(p99.value), "stem")]
    for name, one in (("p50", p50), ("p99", p99)):
        parts.append(_whisker(at, one.interval, y, colour or name))
        # variants take the colours, so that only the filling tells p99 from p50
        is_hollow = f"{name}_us" in point.unreliable or (name == "p99" and bool(colour))
        style = "ring" if is_hollow else "dot"
        if point.load.kind == "concurrency":
            parts.append(svg.element("circle", cx=at, cy=y(one.value), r=5.0, class_=f"{style} {colour or name}"))
        else:
            square = {"x": at - 4.5, "y": y(one.value) - 4.5, "width": 9.0, "height": 9.0}
            parts.append(svg.element("rect", **square, class_=f"{style} {colour or name}"))
    parts.append(
        svg.line(x(rate.interval.low), y(p50.value), x(rate.interval.high), y(p50.value), f"whisker {colour or 'p50'}")
    )
    return svg.element("g", *parts)


def _whisker(x: float, interval: Interval, scale: svg.Scale, colour: str) -> str:
    """Draw a vertical interval; an arrow where it leaves the scale."""
    low, high = scale(interval.low), scale(interval.high)
    top = svg.line(x - 4, high, x + 4, high, f"whisker {colour}")
    if interval.high > scale.high:
        top = svg.path([(x - 4, high + 6), (x, high), (x + 4, high + 6)], f"line thin {colour}")
    bar = svg.line(x, low, x, high, f"whisker {colour}")
    return bar + svg.line(x - 4, low, x + 4, low, f"whisker {colour}") + top


@dataclass(frozen=True)
class Mark:
    """A value of a line, at `x` pixels; hollow where it rests on too few requests."""

    x: float
    estimate: Estimate
    tip: str
    is_hollow: bool = False


def whisker_line(marks: Sequence[Mark], y: svg.Scale, colour: str, *, is_dashed: bool = False) -> str:
    """Draw a line through values, each with its interval."""
    places = [(mark.x, y(mark.estimate.value)) for mark in marks]
    parts = [svg.path(places, f"line {colour}{' dashed' if is_dashed else ''}")]
    for mark, (at, height) in zip(marks, places, strict=True):
        parts.append(_whisker(at, mark.estimate.interval, y, colour))
        class_ = f"{'ring' if mark.is_hollow else 'dot'} {colour}"
        parts.append(svg.element("circle", svg.tooltip(mark.tip), cx=at, cy=height, r=4.0, class_=class_))
    return "".join(parts)


def _quantile_line(points: Sequence[Point], x: svg.Scale, y: svg.Scale, name: str, colour: str) -> str:
    marks = [
        Mark(x(one.load.value), _value(one, name), describe(one), f"{name}_us" in one.unreliable) for one in points
    ]
    return whisker_line(marks, y, colour, is_dashed=name == "p99" and colour.startswith("s"))


def describe(point: Point) -> str:
    """Return a point in a few words, for its tooltip."""
    quantiles = ", ".join(
        f"{name[:3]} {duration(point.latencies[name].value)}" for name in ("p50_us", "p95_us", "p99_us")
    )
    variant = f"{point.variant}: " if point.variant else ""
    return f"{variant}{point.load}: {significant(point.throughput_per_s.value)}/s, {quantiles}"


def _throughput_latency_legend(points: Sequence[Point], variants: dict[str, str]) -> str:
    if len(variants) > 1:
        return variant_legend(variants)
    entries = [("p50", "p50"), ("p99", "p99")]
    is_any_rate = any(point.load.kind == "request_rate" for point in points)
    note = "number: requests in flight" + ("; squares: requests sent per second" if is_any_rate else "")
    return svg.legend(entries, WIDTH - 112, 24) + svg.text(note, WIDTH - 132, 24, class_="tick", text_anchor="end")


def variant_legend(variants: dict[str, str]) -> str:
    """Return the variants' short labels in their colours."""
    return svg.legend([(f"V{index}", colour) for index, colour in enumerate(variants.values(), 1)], 56, 14, "line")
