"""Ways to serve, drawn: their cost against their slowest answers, the limit, the pick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritonsmith.perf.plan.core import Candidate, Replicas
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import name_of
from tritonsmith.perf.plan.show.words import TIMES, limits_of, quantile_text
from tritonsmith.perf.report import svg
from tritonsmith.perf.report.charts import SERIES, WIDTH, Labels, significant_short
from tritonsmith.perf.report.numbers import significant

HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 460.0, 84.0, 60.0, 24.0, 52.0
LIFT = 6.0  # of a name above its mark's interval


@dataclass(frozen=True)
class Axis:
    """Which time is drawn: its name, the quantile that has to keep to the limits, its limit in ms, None without one."""

    name: str
    share: float
    limit_ms: float | None

    def __str__(self) -> str:
        return f"{self.name} {quantile_text(self.share)}"

    def times_ms(self, found: Replicas) -> tuple[float, float]:
        """Return the time with the spare replicas down, and with all up."""
        down, all_up = (TIMES[self.name](tails)[self.share] for tails in (found.tails, found.tails_all_up))
        return down, all_up


def axis_of(plan: Plan) -> Axis:
    """Return the time that the pick comes nearest to its limit with; TTFT where nothing is limited."""
    limits, share = limits_of(plan.objectives), plan.objectives.share
    found = plan.candidates[0].replicas
    if not limits or found is None:
        return Axis("TTFT", share, None)
    axes = [Axis(name, share, limit_ms) for name, limit_ms in limits.items()]
    return max(axes, key=lambda axis: axis.times_ms(found)[0] / limits[axis.name])


def drawing(plan: Plan) -> str:
    """Draw what each way costs over its slowest answers; "" where none would do.

    Times are of the quantile that has to keep to the limit, so that no way that would do lies above its line.
    """
    good = [(one, one.replicas) for one in plan.candidates if one.replicas is not None]
    if not good:
        return ""
    axis = axis_of(plan)
    most = min(max(cost_of(one)[2] for one, _ in good), 2 * max(cost_of(one)[1] for one, _ in good)) * 1.05
    x = svg.linear(most, LEFT, WIDTH - RIGHT)
    slowest_ms = max(time for _, found in good for time in axis.times_ms(found))
    y = svg.linear(max(axis.limit_ms or 0.0, slowest_ms) * 1.1, HEIGHT - BOTTOM, TOP)
    label = "Cost of a million generated tokens" if plan.prices else "GPUs, spare replicas included"
    colours = {gpu: SERIES[place % len(SERIES)] for place, gpu in enumerate(dict.fromkeys(one.gpu for one, _ in good))}
    names = Labels()
    parts = [
        svg.axis_bottom(x, HEIGHT - BOTTOM, TOP, significant_short, label),
        svg.axis_left(y, LEFT, WIDTH - RIGHT, significant_short, f"{axis}, ms"),
        *_limit(axis, y),
        *(_mark(one, found, axis, x, y, colours[one.gpu], is_pick=one is plan.pick) for one, found in good),
        *(_name(one, found, axis, x, y, names, is_pick=one is plan.pick) for one, found in unbeaten(good, axis)),
        svg.legend(list(colours.items()), LEFT, 24),
        svg.text("filled: spare replicas down; hollow: all up", WIDTH - RIGHT, 24, class_="tick", text_anchor="end"),
    ]
    description = f"For each way of serving its cost and the simulated {axis}, with the limit and the pick."
    return svg.chart(WIDTH, HEIGHT, f"Cost against {axis.name}", description, *parts)


def cost_of(one: Candidate) -> tuple[float, float, float]:
    """Return the low end, the value and the high end of what is on the axis: a price, or a number of GPUs."""
    if one.cost_per_million_tokens is not None:
        cost = one.cost_per_million_tokens
        return cost.low, cost.value, cost.high
    return float(one.gpus), float(one.gpus), float(one.gpus)


def unbeaten(good: Sequence[tuple[Candidate, Replicas]], axis: Axis) -> list[tuple[Candidate, Replicas]]:
    """Return the pick, which comes first, and the ways than which none is both cheaper and faster: those with names."""
    found, best_ms = [], math.inf
    for one, replicas in sorted(good, key=lambda way: (cost_of(way[0])[1], axis.times_ms(way[1])[0])):
        if (time_ms := axis.times_ms(replicas)[0]) < best_ms or one is good[0][0]:
            found.append((one, replicas))
            best_ms = min(best_ms, time_ms)
    return found


def _limit(axis: Axis, y: svg.Scale) -> list[str]:
    if axis.limit_ms is None:
        return []
    at = y(axis.limit_ms)
    line = svg.line(LEFT, at, WIDTH - RIGHT, at, "line thin dashed p99")
    return [line, svg.text(f"limit {axis.limit_ms:g} ms", LEFT + 6, at - 6, class_="tick warn")]


def _mark(
    one: Candidate, found: Replicas, axis: Axis, x: svg.Scale, y: svg.Scale, colour: str, *, is_pick: bool
) -> str:
    """Draw one way: both times on a stem, and the interval of its cost, as far as the axis goes."""
    low, cost, high = cost_of(one)
    down_ms, up_ms = axis.times_ms(found)
    tip = f"{name_of(one)}: {one.gpus} GPUs, {axis} {significant(down_ms)} ms, all up {significant(up_ms)} ms"
    return svg.element(
        "g",
        svg.tooltip(tip),
        svg.line(x(cost), y(down_ms), x(cost), y(up_ms), "stem"),
        svg.line(x(low), y(down_ms), x(high), y(down_ms), f"whisker {colour}"),
        svg.element("circle", cx=x(cost), cy=y(up_ms), r=4.0, class_=f"ring {colour}"),
        svg.element("circle", cx=x(cost), cy=y(down_ms), r=8.0 if is_pick else 5.0, class_=f"dot {colour}"),
    )


def _name(
    one: Candidate, found: Replicas, axis: Axis, x: svg.Scale, y: svg.Scale, names: Labels, *, is_pick: bool
) -> str:
    words = f"{'pick: ' if is_pick else ''}{one.serving.spread} {one.serving.weight_type}"
    return names.place(words, x(cost_of(one)[1]), y(axis.times_ms(found)[0]) - LIFT, "tick strong")
