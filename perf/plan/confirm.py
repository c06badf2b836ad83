"""Which loads of a running replica confirm a plan, and the sweep that measures them."""

from __future__ import annotations

import shlex

from tritonsmith.perf.plan.core import Objectives, Replicas, Traffic
from tritonsmith.perf.plan.document import Plan

SHARES = (0.5, 0.8, 1.0, 1.2)  # of the highest rate within the objectives: below, near, at and beyond
NAME = "chat"  # of the pipeline that a plan writes, by which clients call it


def confirming_rates(found: Replicas) -> tuple[str, ...]:
    """Return requests per second for one replica: shares of the highest rate within the objectives."""
    return tuple(dict.fromkeys(f"{share * found.rate_per_replica.value:.3g}" for share in SHARES))


def sweep_command(plan: Plan, found: Replicas) -> str:
    """Return the command that measures one running replica at the rates that confirm a plan."""
    assert plan.traffic is not None, "asked where there is a traffic"
    return shlex.join([*sweep_argv(plan.traffic, plan.objectives, found), "-o", "build/confirm"])


def sweep_argv(traffic: Traffic, objectives: Objectives, found: Replicas) -> list[str]:
    """Return the words of the command; the server's name is left to the user."""
    goals = {"ttft_ms": objectives.ttft_ms, "tpot_ms": objectives.tpot_ms, "latency_ms": objectives.latency_ms}
    argv = ["tritonsmith", "sweep", NAME, "--url", "HOST:8000", "--request-rate", ",".join(confirming_rates(found))]
    argv += ["--prompt-tokens", str(traffic.input_tokens), "--output-tokens", str(traffic.output_tokens)]
    for name, value in goals.items():
        argv += ["--goal", f"{name}={value:g}"] if value is not None else []
    return argv
