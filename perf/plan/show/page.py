"""The comparison of a plan as one self-contained HTML page: no script, no network, the drawing inline."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.plan.confirm import sweep_command
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import misfits, name_of
from tritonsmith.perf.plan.show.compare import table
from tritonsmith.perf.plan.show.drawing import axis_of, drawing
from tritonsmith.perf.plan.show.others import reasons
from tritonsmith.perf.plan.show.text import memory_rows, no_text, pick_text
from tritonsmith.perf.plan.show.words import asked, fleet_text, wanted
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.report.render import footer, render

PAGE_NAME = "plan.html"


def write_page(plan: Plan, folder: Path) -> Path:
    """Write the page into its folder and return its path.

    Raises: UsageError where the disk does not take it.
    """
    return write_by_rename(folder / PAGE_NAME, render_page(plan).encode())


def render_page(plan: Plan) -> str:
    """Return the page."""
    pick = plan.pick
    shown = pick or next(iter(misfits(plan.candidates)), plan.candidates[0])
    header, rows = table(plan, pick="pick: ")
    return render(
        Path(__file__).parent,
        "plan",
        title=plan.model.name,
        answer=(pick_text(plan, pick) if pick else no_text(plan)).splitlines(),
        numbers=list(_numbers(plan)),
        drawing=Markup(drawing(plan)),  # noqa: S704 - our own; escaped where made
        axis=str(axis_of(plan)),
        header=header[1:],
        rows=rows,
        against=reasons([one for one in plan.candidates if one.problem]),
        memory=memory_rows(shown.memory),
        memory_of=name_of(shown),
        facts=list(_facts(plan)),
        footer=footer(plan.schema, plan.tritonsmith, plan.made_at),
    )


def _numbers(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, number, unit, remark) of what matters most."""
    pick = plan.pick
    if pick is None or pick.replicas is None:
        return
    found, axis = pick.replicas, axis_of(plan)
    yield "GPUs", f"{pick.gpus}", pick.gpu, fleet_text(pick)
    rate = found.rate_per_replica
    between = f"80 % between {significant(rate.low)} and {significant(rate.high)}"
    yield "A replica answers", significant(rate.value), "/s", between
    place = "in one place, " if pick.by_region else ""
    yield str(axis), significant(axis.times_ms(found)[0]), "ms", f"{place}{found.spare} of the replicas down"
    if (cost := pick.cost_per_million_tokens) is not None:
        yield "A million tokens", significant(cost.value), "", f"{significant(cost.low)} to {significant(cost.high)}"


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "Model", f"{plan.model.name}, {plan.path}"
    if plan.traffic is not None:
        yield "Asked", f"{asked(plan.traffic)}; {wanted(plan.objectives)}"
    if plan.times:
        yield "Times", plan.times
    if plan.prices:
        yield "Prices", ", ".join(f"{gpu} {price:g} per hour" for gpu, price in plan.prices.items())
    if plan.traffic is not None and plan.pick is not None and plan.pick.replicas is not None:
        yield "To confirm", sweep_command(plan, plan.pick.replicas)
    for note in plan.notes:
        yield "Note", note


def now() -> str:
    """Return the time as documents have it: UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
