"""The charts of a sweep with a row per load: time by phase, batch sizes, stability."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tritonsmith.perf.measure.measurement import Step
from tritonsmith.perf.report import svg
from tritonsmith.perf.report.charts import CHARACTER, WIDTH, row_label, significant_short, unit_of
from tritonsmith.perf.report.numbers import duration, significant
from tritonsmith.perf.summary import UNSTABLE_SHARE, Point

PHASES = (
    ("queue", "queue_us", "Queue"),
    ("input", "compute_input_us", "Compute input"),
    ("infer", "compute_infer_us", "Compute infer"),
    ("output", "compute_output_us", "Compute output"),
)


def breakdown(points: Sequence[Point], high_us: float) -> str:
    """Draw where a request's mean time goes, one stacked bar per load: client, network, and the phases of all steps."""
    entries = [("client", "Client"), ("network", "Network, endpoint"), *((key, name) for key, _, name in PHASES)]
    rows = []
    for point in points:
        phases = [(key, sum(getattr(step, field) for step in point.steps)) for key, field, _ in PHASES]
        rows.append((row_label(point), [("client", point.client_us), ("network", point.overhead_us), *phases]))
    names = dict(entries)
    return _bars("Mean latency by phase and load", rows, names, high_us)


def step_breakdown(points: Sequence[Point], model: str, high_us: float) -> str:
    """Draw one step's time per request, one stacked bar per load, on the scale of all steps."""
    names = {key: name for key, _, name in PHASES}
    rows = []
    for point in points:
        step = next(step for step in point.steps if step.model == model)
        rows.append((row_label(point), [(key, getattr(step, field)) for key, field, _ in PHASES]))
    return _bars(f"Time in {model} by phase and load", rows, names, high_us)


def batch_sizes(points: Sequence[Point], model: str) -> str:
    """Draw one step's batch sizes: a row per load, a column per size, the darker the more of the executions."""
    steps = [(row_label(point), next(step for step in point.steps if step.model == model)) for point in points]
    sizes = sorted({size for _, step in steps for size in step.batch_sizes})
    columns = list(range(1, sizes[-1] + 1)) if sizes and sizes[-1] <= 32 else sizes
    left, right = _label_width([name for name, _ in steps]), WIDTH - 110
    cell = min(44.0, (right - left) / max(1, len(columns)))
    parts = [svg.text("mean", left + cell * len(columns) + 16, 14, class_="tick")]
    every = 1 if cell > 24 else 4
    for index, size in enumerate(columns):
        if index % every == 0 or size == columns[-1]:
            parts.append(svg.text(str(size), left + cell * (index + 0.5), 14, class_="tick", text_anchor="middle"))
    for row, (name, step) in enumerate(steps):
        parts.append(_batch_row(name, step, columns, left, cell, 22 + 24 * row))
    height = 22 + 24 * len(steps) + 8
    return svg.chart(
        WIDTH, height, f"Batch sizes of {model}", "Share of executions by batch size, one row per load.", *parts
    )


def stability(points: Sequence[Point]) -> str:
    """Draw every measurement window's throughput as a share of its point's median, repeats side by side."""
    left, right, row_height = _label_width([row_label(point) for point in points]), WIDTH - 120, 34.0
    parts = []
    for index, point in enumerate(points):
        top = 6 + row_height * index
        center = top + row_height / 2
        if index % 2 == 0:
            parts.append(svg.element("rect", x=0, y=top, width=WIDTH, height=row_height, class_="cell-empty"))
        parts.append(svg.text(row_label(point), left - 10, center + 4, class_="tick", text_anchor="end"))
        parts.append(svg.line(left, center, right, center, "grid"))
        parts += _windows(point, left, (right - left) / max(1, len(point.windows_per_s)), center, row_height)
        verdict = "unstable" if point.is_unstable else f"± {point.throughput_per_s.relative_spread:.0%}"
        parts.append(svg.text(verdict, right + 14, center + 4, class_="tick warn" if point.is_unstable else "tick"))
    height = 6 + row_height * len(points) + 26
    parts.append(svg.text("repeats, three windows each →", left, height - 6, class_="tick"))
    return svg.chart(
        WIDTH,
        height,
        "Throughput of every measurement window",
        "Deviation of each window from its point's median; the row's half height is 50%.",
        *parts,
    )


def slowest_us(points: Sequence[Point]) -> float:
    """Return the longest mean time of any load as `breakdown` adds it up, so that all variants share one scale."""
    return max(point.client_us + point.overhead_us + sum(step.total_us for step in point.steps) for point in points)


def slowest_step_us(points: Sequence[Point]) -> float:
    """Return the longest time of any step, so that all steps are drawn on one scale."""
    return max(step.total_us for point in points for step in point.steps)


def _bars(
    title: str, rows: Sequence[tuple[str, list[tuple[str, float]]]], names: dict[str, str], high_us: float
) -> str:
    """Draw stacked horizontal bars; rows are (name, [(colour class, microseconds)])."""
    left, right, row_height, top = _label_width([name for name, _ in rows]), WIDTH - 90, 30.0, 34.0
    totals = [sum(value for _, value in parts) for _, parts in rows]
    unit, factor = unit_of(high_us)
    bottom = top + row_height * len(rows)
    x = svg.linear(high_us, left, right)
    drawing = [
        svg.axis_bottom(x, bottom, top - 6, lambda us: significant_short(us / factor), f"Mean time per request, {unit}")
    ]
    for index, ((name, parts), total) in enumerate(zip(rows, totals, strict=True)):
        y, at = top + row_height * index + 4, left
        drawing.append(svg.text(name, left - 10, y + 15, class_="tick", text_anchor="end"))
        for key, value in parts:
            width = x(value) - x(0)
            tip = svg.tooltip(f"{name}: {names[key]} {duration(value)} ({value / total:.0%})" if total else name)
            drawing.append(svg.element("rect", tip, x=at, y=y, width=max(0.0, width), height=21, class_=f"fill {key}"))
            at += width
        drawing.append(svg.text(duration(total), at + 8, y + 15, class_="tick strong"))
    shown = [(name, key) for key, name in names.items()]
    return svg.chart(
        WIDTH, bottom + 52, title, "Stacked bars of the mean time per request.", svg.legend(shown, left, 14), *drawing
    )


def _batch_row(name: str, step: Step, columns: Sequence[int], left: float, cell: float, y: float) -> str:
    executions = max(1, sum(step.batch_sizes.values()))
    parts = [svg.text(name, left - 10, y + 15, class_="tick", text_anchor="end")]
    for index, size in enumerate(columns):
        count = step.batch_sizes.get(size, 0)
        tip = svg.tooltip(f"{name}: {count:,} executions of batch size {size} ({count / executions:.1%})")
        place = {"x": left + cell * index + 1, "y": y, "width": cell - 2, "height": 20, "rx": 3}
        parts.append(svg.element("rect", **place, class_="cell-empty"))
        if count:
            # by the root: where 32 sizes share the executions, 1 % and 10 % can still be told apart
            opacity = round(0.08 + 0.92 * math.sqrt(count / executions), 3)
            parts.append(svg.element("rect", tip, **place, class_="fill infer", fill_opacity=opacity))
    return "".join(parts) + svg.text(
        f"{step.mean_batch_size:.2f}", left + cell * len(columns) + 16, y + 15, class_="tick strong"
    )


def _windows(point: Point, left: float, width: float, center: float, row_height: float) -> Iterator[str]:
    """Yield a mark for each window, three to a repeat; a repeat is `width` wide."""
    middle = point.throughput_per_s.value
    for repeat, windows in enumerate(point.windows_per_s):
        for place, rate in enumerate(windows):
            x = left + width * (repeat + 0.2 + 0.6 * place / max(1, len(windows) - 1))
            deviation = max(-0.5, min(0.5, rate / middle - 1 if middle else 0.0))
            tip = svg.tooltip(f"{row_label(point)}, repeat {repeat + 1}, window {place + 1}: {significant(rate)}/s")
            dot = "dot far" if abs(deviation) > UNSTABLE_SHARE else "dot p50"
            yield svg.element("circle", tip, cx=x, cy=center - deviation * row_height * 0.9, r=3.2, class_=dot)


def _label_width(names: Sequence[str]) -> float:
    return 24 + CHARACTER * max((len(name) for name in names), default=0)
