"""A traffic from several regions, as a person reads it: replicas in each, who takes over, and what a loss does."""

from __future__ import annotations

import math

from tritonsmith.generator import console
from tritonsmith.perf.plan.core import Figure
from tritonsmith.perf.plan.regions.core import Loss, RegionalPlan, Users
from tritonsmith.perf.report.numbers import significant

TIMES = ["TTFT p99 ms", "80 % between", "latency p99 ms", "80 % between", "within"]


def regions_text(found: RegionalPlan) -> str:
    """Return replicas by region with what their users meet, then each loss."""
    header = ["region", "requests/s", "replicas", "80 % between", *TIMES, "then to"]
    rows = [
        [
            one.home,
            significant(one.rate_per_s),
            str(found.replicas[one.home]),
            _replicas_between(found, one.home),
            *_times(one),
            ", ".join(found.spill_over[one.home]) or "-",
        ]
        for one in found.users
    ]
    count = f"{sum(found.replicas.values())} replicas in {len(found.replicas)} regions"
    cost = f", {significant(found.cost_per_hour)} per hour" if found.cost_per_hour is not None else ""
    head = f"{count}{cost}; times with the spare ones down, the network's in them"
    return "\n".join([head, console.table(header, rows), *(_loss(one, found) for one in found.losses)])


def _loss(loss: Loss, found: RegionalPlan) -> str:
    """Return what the loss of a region does, and how many replicas would leave nobody without room."""
    full = ", ".join(f"{name} {share:.0%} full" for name, share in loss.utilisation.items())
    rows = [[f"  {one.home} at {one.served_in}", significant(one.rate_per_s), *_times(one)] for one in loss.users]
    table = console.table(["  users", "requests/s", *TIMES], rows)
    if not loss.refused_per_s:
        return f"without {loss.region}: {full}\n{table}"
    more = {name: count for name, count in found.to_survive.items() if count > found.replicas[name]}
    wanted = " and ".join(f"{count} replicas in {name}" for name, count in more.items())
    remedy = f"with {wanted} (`survive: true`) all would" if loss.is_survivable else "the other regions are too far off"
    refused = f"{significant(loss.refused_per_s)} requests/s find no room; {remedy}"
    return f"without {loss.region}: {full}; {refused}\n{table}"


def _replicas_between(found: RegionalPlan, name: str) -> str:
    if name not in found.between:
        return "-"
    low, high = found.between[name]
    return f"{low} and {high or 'no number'}"


def _times(one: Users) -> list[str]:
    times = (one.ttft_p99_ms, one.latency_p99_ms)
    cells = [text for figure in times for text in (significant(figure.value), _between(figure))]
    return [*cells, f"{one.share_within:.1%}"]


def _between(figure: Figure) -> str:
    if figure.low == figure.high:
        return "-"
    return f"{significant(figure.low)} and {'no limit' if math.isinf(figure.high) else significant(figure.high)}"
