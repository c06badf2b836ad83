"""Phrases of a plan that more than one view of it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tritonsmith.perf.plan.core import Candidate, Objectives, Tails, Traffic
from tritonsmith.perf.plan.shares import is_slice, per_gpu
from tritonsmith.perf.report.numbers import significant

Times = Callable[[Tails], Mapping[float, float]]
TIMES: Mapping[str, Times] = {
    "TTFT": lambda tails: tails.ttft_ms,
    "TPOT": lambda tails: tails.tpot_ms,
    "latency": lambda tails: tails.latency_ms,
}


def asked(traffic: Traffic) -> str:
    """Return a traffic in words."""
    kind = "recorded" if traffic.arrivals else f"bursts of {traffic.bursts:g}x" if traffic.bursts > 1 else "Poisson"
    cached = f", {traffic.prefix_share:.0%} of it cached" if traffic.prefix_share else ""
    return (
        f"{significant(traffic.rate_per_s)} requests/s ({kind}), {traffic.input_tokens:,} tokens in{cached}, "
        f"{traffic.output_tokens:,} out"
    )


def wanted(objectives: Objectives) -> str:
    """Return objectives in words."""
    limits = [f"{name} <= {value:g} ms" for name, value in limits_of(objectives).items()]
    return f"{objectives.share * 100:g} % of them with {' and '.join(limits)}" if limits else "no limit on times"


def quantile_text(share: float) -> str:
    """Return the name of a quantile: "p99"."""
    return f"p{share * 100:g}"


def limits_of(objectives: Objectives) -> Mapping[str, float]:
    """Return the limits that there are, in milliseconds by name."""
    named = {"TTFT": objectives.ttft_ms, "TPOT": objectives.tpot_ms, "latency": objectives.latency_ms}
    return {name: value for name, value in named.items() if value is not None}


def gpus_text(count: int, name: str) -> str:
    """Return "8 H100-SXM-80GB"; of parts of GPUs also on how many GPUs they are."""
    if not is_slice(name):
        return f"{count} {name}"
    whole = math.ceil(count / per_gpu(name))
    return f"{count} {name} on {whole} GPU{'' if whole == 1 else 's'}"


def fleet_text(one: Candidate) -> str:
    """Return "6 replicas of TP1"; of several regions also how many are in each."""
    each = ", ".join(f"{name} {count}" for name, count in one.by_region.items())
    regions = f" in {len(one.by_region)} regions ({each})" if one.by_region else ""
    return f"{replicas_text(one.fleet)} of {one.serving.spread}{regions}"


def replicas_text(count: int) -> str:
    """Return a number of replicas."""
    return f"{count} replica{'' if count == 1 else 's'}"
