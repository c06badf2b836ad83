"""A traffic from several regions, as a person reads it: replicas in each, who takes over, and what a loss does."""

from __future__ import annotations

from tritonsmith.generator import console
from tritonsmith.perf.plan.regions.split import Loss, RegionalPlan, Users
from tritonsmith.perf.report.numbers import significant


def regions_text(found: RegionalPlan) -> str:
    """Return replicas by region with what their users meet, then each loss."""
    header = ["region", "requests/s", "replicas", "TTFT p99 ms", "latency p99 ms", "within", "then to"]
    rows = [
        [
            one.home,
            significant(one.rate_per_s),
            str(found.replicas[one.home]),
            *_times(one),
            ", ".join(found.spill_over[one.home]) or "-",
        ]
        for one in found.users
    ]
    head = f"{sum(found.replicas.values())} replicas in {len(found.replicas)} regions; times hold the network's"
    return "\n".join([head, console.table(header, rows), *(_loss(one, found) for one in found.losses)])


def _loss(loss: Loss, found: RegionalPlan) -> str:
    """Return what the loss of a region does, and how many replicas would leave nobody without room."""
    full = ", ".join(f"{name} {share:.0%} full" for name, share in loss.utilisation.items())
    rows = [[f"  {one.home} at {one.served_in}", significant(one.rate_per_s), "", *_times(one)] for one in loss.users]
    table = console.table(["  users", "requests/s", "", "TTFT p99 ms", "latency p99 ms", "within"], rows)
    if not loss.refused_per_s:
        return f"without {loss.region}: {full}\n{table}"
    more = {name: count for name, count in found.to_survive.items() if count > found.replicas[name]}
    wanted = ", ".join(f"{count} in {name}" for name, count in more.items())
    refused = f"{significant(loss.refused_per_s)} requests/s find no room; with {wanted} replicas all would"
    return f"without {loss.region}: {full}; {refused}\n{table}"


def _times(one: Users) -> list[str]:
    return [significant(one.ttft_p99_ms), significant(one.latency_p99_ms), f"{one.share_within:.1%}"]
