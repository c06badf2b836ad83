"""Ways to serve, side by side: a table, the pick marked, and what is against the others."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator import console
from tritonsmith.perf.plan.core import Candidate
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.plan import GIB, name_of
from tritonsmith.perf.plan.show.others import reasons
from tritonsmith.perf.plan.show.words import TIMES, limits_of, quantile_text
from tritonsmith.perf.report.numbers import significant


def compare_text(plan: Plan) -> str:
    """Return a table of all ways, the pick marked, what is against the others below it."""
    header, rows = table(plan, pick="* ", other="  ")
    against = [f"  {names}: {reason}" for reason, names in reasons([one for one in plan.candidates if one.problem])]
    parts = [console.table(header, rows)] if rows else []
    return "\n".join([*parts, *(["not:", *against] if against else [])])


def table(plan: Plan, *, pick: str, other: str = "") -> tuple[list[str], list[list[str]]]:
    """Return the header and a row for each way that has numbers; its name begins with `pick` or `other`.

    There are columns of what is known: without a traffic no replicas and times, without prices no costs.
    """
    share = quantile_text(plan.objectives.share)
    header = ["", "GPUs", "free GiB", "KV tokens"]
    header += ["replicas", "requests/s each", *(f"{name} {share} ms" for name in _timed(plan))] if plan.traffic else []
    header += ["per hour", "per million tokens"] if plan.traffic and plan.prices else []
    ways = [one for one in plan.candidates if not one.problem]
    rows = [[f"{pick if one is plan.pick else other}{name_of(one)}", *_cells(one, plan)] for one in ways]
    return header, rows


def _cells(one: Candidate, plan: Plan) -> Iterator[str]:
    yield str(one.gpus or one.serving.spread.gpus)
    yield f"{one.memory.free_bytes.value / GIB:,.1f}"
    yield f"{one.memory.kv_tokens.value:,.0f}"
    if (found := one.replicas) is None:
        return
    yield str(one.fleet)
    yield significant(found.rate_per_replica.value)
    yield from (significant(TIMES[name](found.tails)[plan.objectives.share]) for name in _timed(plan))
    costs = (one.cost_per_hour, one.cost_per_million_tokens) if plan.prices else ()
    yield from (significant(cost.value) if cost else "-" for cost in costs)


def _timed(plan: Plan) -> list[str]:
    """Return which times are compared: TTFT, TPOT, and those of whole answers where they have a limit."""
    return [name for name in TIMES if name != "latency" or name in limits_of(plan.objectives)]
