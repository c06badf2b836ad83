"""Ways to serve, side by side: a table, and a drawing of cost against the slowest answers, the limit, the pick."""

from __future__ import annotations

from collections.abc import Sequence

from tritonsmith.generator import console
from tritonsmith.perf.plan.core import Candidate, Replicas
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import GIB, name_of
from tritonsmith.perf.plan.show.text import limits_of
from tritonsmith.perf.report import svg
from tritonsmith.perf.report.charts import SERIES, WIDTH, Labels, significant_short
from tritonsmith.perf.report.numbers import significant

HEIGHT, LEFT, TOP = 460.0, 84.0, 60.0
FIELDS = {"TTFT": "ttft_ms", "TPOT": "tpot_ms", "latency": "latency_ms"}
HEADER = (
    "", "GPUs", "replicas", "free GiB", "KV tokens", "requests/s each", "TTFT p99 ms", "TPOT p99 ms", "per hour",
    "per million tokens",
)  # fmt: skip


def compare_text(plan: Plan) -> str:
    """Return a table of all ways, the pick marked, what is against the others below it."""
    header = [word for place, word in enumerate(HEADER) if place in _columns(plan)]
    rows = [[cell for place, cell in enumerate(row_of(one, plan)) if place in _columns(plan)] for one in shown(plan)]
    against = [f"  {name_of(one)}: {one.problem}" for one in plan.candidates if one.problem]
    parts = [console.table(header, rows)] if rows else []
    return "\n".join([*parts, *(["not:", *against] if against else [])])


def shown(plan: Plan) -> list[Candidate]:
    """Return the ways that have numbers to compare."""
    return [one for one in plan.candidates if not one.problem]


def row_of(one: Candidate, plan: Plan) -> list[str]:
    """Return a line of the table."""
    mark = "* " if one is plan.pick else "  "
    found = one.replicas
    row = [f"{mark}{name_of(one)}", str(one.gpus or one.serving.spread.gpus), str(found.total) if found else "-"]
    row += [f"{one.memory.free_bytes.value / GIB:,.1f}", f"{one.memory.kv_tokens.value:,.0f}"]
    if found is None:
        return [*row, *["-"] * 5]
    row += [significant(found.rate_per_replica.value), _p99(found, "TTFT"), _p99(found, "TPOT")]
    for cost in (one.cost_per_hour, one.cost_per_million_tokens):
        row.append(significant(cost.value) if cost else "-")
    return row


def _columns(plan: Plan) -> range:
    """Return the places of the columns that are known: without prices no costs, without a traffic no rates."""
    return range(len(HEADER)) if plan.prices else range(8 if plan.traffic else 5)


def _p99(found: Replicas, name: str) -> str:
    return significant(getattr(found.tails, FIELDS[name])[0.99])


def drawing(plan: Plan) -> str:
    """Draw what each way costs over its p99, with the spare replicas down and with all up; "" where none would do."""
    good = [one for one in plan.candidates if one.replicas is not None]
    if not good:
        return ""
    name, limit_ms = axis_of(plan)
    has_price = bool(plan.prices)
    highs = [cost_of(one)[2] for one in good]
    x = svg.linear(min(max(highs), 2 * max(cost_of(one)[1] for one in good)) * 1.05, LEFT, WIDTH - 24)
    times = [_times(one.replicas, name) for one in good if one.replicas]
    y = svg.linear(max([limit_ms or 0.0, *(max(pair) for pair in times)]) * 1.1, HEIGHT - 52, TOP)
    label = "Cost of a million generated tokens" if has_price else "GPUs, spare replicas included"
    parts = [
        svg.axis_bottom(x, HEIGHT - 52, TOP, significant_short, label),
        svg.axis_left(y, LEFT, WIDTH - 24, significant_short, f"{name} p99, ms"),
    ]
    if limit_ms is not None:
        parts.append(svg.line(LEFT, y(limit_ms), WIDTH - 24, y(limit_ms), "line thin dashed p99"))
        parts.append(svg.text(f"limit {limit_ms:g} ms", LEFT + 6, y(limit_ms) - 6, class_="tick warn"))
    labels = Labels()
    colours = {gpu: SERIES[place % len(SERIES)] for place, gpu in enumerate(dict.fromkeys(one.gpu for one in good))}
    parts += [_mark(one, x, y, name, colours[one.gpu], is_pick=one is plan.pick) for one in good]
    parts += [_name(one, plan, x, y, name, labels) for one in good]
    legend = svg.legend(list(colours.items()), LEFT, 24)
    note = svg.text("filled: spare replicas down; hollow: all up", WIDTH - 24, 24, class_="tick", text_anchor="end")
    description = f"For each way of serving its cost and the simulated p99 of {name}, with the limit and the pick."
    return svg.chart(WIDTH, HEIGHT, f"Cost against {name}", description, *parts, legend, note)


def axis_of(plan: Plan) -> tuple[str, float | None]:
    """Return which time is drawn, and its limit: the one that the pick comes nearest to; TTFT where there is none."""
    limits = limits_of(plan.objectives)
    found = plan.candidates[0].replicas
    if not limits or found is None:
        return "TTFT", None
    name = max(limits, key=lambda name: _times(found, name)[0] / limits[name])
    return name, limits[name]


def cost_of(one: Candidate) -> tuple[float, float, float]:
    """Return the low end, the value and the high end of what is on the axis: a price, or a number of GPUs."""
    if one.cost_per_million_tokens is not None:
        cost = one.cost_per_million_tokens
        return cost.low, cost.value, cost.high
    return float(one.gpus), float(one.gpus), float(one.gpus)


def _times(found: Replicas, name: str) -> tuple[float, float]:
    """Return a p99 with the spare replicas down, and with all up."""
    return getattr(found.tails, FIELDS[name])[0.99], getattr(found.tails_all_up, FIELDS[name])[0.99]


def _mark(one: Candidate, x: svg.Scale, y: svg.Scale, name: str, colour: str, *, is_pick: bool) -> str:
    """Draw one way: both times on a stem, and the interval of its cost."""
    assert one.replicas is not None, "only ways that would do are drawn"
    low, cost, high = cost_of(one)
    down_ms, up_ms = _times(one.replicas, name)
    tip = f"{name_of(one)}: {one.gpus} GPUs, {name} p99 {significant(down_ms)} ms, all up {significant(up_ms)} ms"
    radius = 8.0 if is_pick else 5.0
    return svg.element(
        "g",
        svg.tooltip(tip),
        svg.line(x(cost), y(down_ms), x(cost), y(up_ms), "stem"),
        svg.line(x(low), y(down_ms), x(high), y(down_ms), f"whisker {colour}"),
        svg.element("circle", cx=x(cost), cy=y(up_ms), r=4.0, class_=f"ring {colour}"),
        svg.element("circle", cx=x(cost), cy=y(down_ms), r=radius, class_=f"dot {colour}"),
    )


def _name(one: Candidate, plan: Plan, x: svg.Scale, y: svg.Scale, name: str, labels: Labels) -> str:
    assert one.replicas is not None, "only ways that would do are drawn"
    words = f"{one.serving.spread} {one.serving.weight_type}"
    at = x(cost_of(one)[1]), y(_times(one.replicas, name)[0])
    return labels.place(f"pick: {words}" if one is plan.pick else words, *at, "tick strong")


def table_rows(plan: Plan) -> Sequence[Sequence[str]]:
    """Return the lines of the table, unmarked."""
    return [[cell.removeprefix("* ").strip() for cell in row_of(one, plan)] for one in shown(plan)]
