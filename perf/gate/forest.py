"""The gate's drawing: every point's slowdown with its interval, and the pairs that it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tritonsmith.perf.gate.core import Comparison, Word
from tritonsmith.perf.gate.words import interval, percent, visible
from tritonsmith.perf.report import svg

WIDTH, LEFT, RIGHT, TOP, ROW = 1040.0, 236.0, 1040.0 - 190, 44.0, 74.0
COLOURS: dict[Word | None, str] = {"pass": "s3", "regress": "s2", "inconclusive": "s5", None: "s7"}
PLAIN_REACH = 0.02  # the least that the scale reaches to both sides, as a log ratio


def forest_plot(comparisons: Sequence[Comparison]) -> str:
    """Draw one row per point: the interval, the estimate, below them a dot per pair in the order of measuring.

    The scale is logarithmic around "no slower"; the shaded band is what the tolerance allows. Pairs far outside stay on
    the edge, where their tooltips say what they are.
    """
    ordered = sorted(comparisons, key=lambda one: not one.decides)
    reach = _reach(ordered)
    x = svg.Scale(math.exp(-reach), math.exp(reach), LEFT, RIGHT, is_log=True)
    bottom = TOP + ROW * len(ordered)
    parts = [_axis(x, reach, bottom)]
    for index, one in enumerate(ordered):
        parts.append(_row(one, x, TOP + ROW * index))
    parts.append(svg.line(x(1.0), TOP - 8, x(1.0), bottom, "axis"))
    title = "How much slower the candidate is"
    description = "For each metric and load the Hodges-Lehmann slowdown with its interval, and every pair's ratio."
    return svg.chart(WIDTH, bottom + 56, title, description, *parts)


def _reach(comparisons: Sequence[Comparison]) -> float:
    """Return how far the scale reaches: all intervals and tolerances, and the middle nine tenths of the pairs."""
    logs = [PLAIN_REACH]
    for one in comparisons:
        logs += [math.log(bound) for bound in (one.low, one.high, one.slowdown) if bound is not None]
        logs += [math.log1p(one.tolerance or 0.0)]
        spread = sorted(abs(value) for value in one.log_ratios)
        logs += spread[: math.ceil(0.9 * len(spread))]
    return 1.1 * max(map(abs, logs))


def _axis(x: svg.Scale, reach: float, bottom: float) -> str:
    step = next(share for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0) if reach / share <= 6 or share == 5.0)
    shares = [index * step for index in range(-6, 7) if index * step > -0.99]
    ticks = [1 + share for share in shares if x.low <= 1 + share <= x.high]
    label = "Slowdown of the candidate; right of the middle it is slower"
    return svg.axis_bottom(
        x, bottom, TOP - 8, lambda ratio: f"{ratio - 1:+.0%}" if ratio != 1 else "none", label, ticks
    )


def _row(one: Comparison, x: svg.Scale, top: float) -> str:
    middle, dots, colour = top + 22, top + 48, COLOURS[one.word]
    parts = [svg.tooltip(f"{one.name}: {percent(one.slowdown)} ({interval(one)}), smallest visible {visible(one)}")]
    if one.tolerance:
        left, right = x(1 / (1 + one.tolerance)), x(1 + one.tolerance)
        band = {"x": left, "y": top + 2, "width": right - left, "height": ROW - 12}
        parts.append(svg.element("rect", **band, class_="cell-empty"))
    parts.append(svg.text(one.name, LEFT - 14, middle + 4, class_="tick strong", text_anchor="end"))
    low, high = (x.low if one.low is None else one.low), (x.high if one.high is None else one.high)
    parts.append(svg.line(x(low), middle, x(high), middle, f"whisker {colour}"))
    ends = (x(bound) for bound in (one.low, one.high) if bound is not None)
    parts += [svg.line(end, middle - 5, end, middle + 5, f"whisker {colour}") for end in ends]
    parts.append(svg.element("circle", cx=x(one.slowdown), cy=middle, r=5.5, class_=f"dot {colour}"))
    parts += [_pair(number, value, x, dots, len(one.log_ratios)) for number, value in enumerate(one.log_ratios)]
    words = f"{percent(one.slowdown)}, {one.word or 'shown only'}"
    class_ = "tick strong warn" if one.word == "regress" else "tick strong"
    return svg.element("g", *parts, svg.text(words, RIGHT + 14, middle + 4, class_=class_))


def _pair(number: int, log_ratio: float, x: svg.Scale, y: float, pairs: int) -> str:
    """Draw one pair; the first stands highest, so that a drift shows as a slope."""
    height = y + 14 * (number / max(1, pairs - 1) - 0.5)
    tip = svg.tooltip(f"pair {number + 1}: {percent(math.exp(log_ratio))}")
    return svg.element("circle", tip, cx=x(math.exp(log_ratio)), cy=height, r=2.5, class_="dot s7")
