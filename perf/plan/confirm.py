"""Which loads of a running replica confirm a plan, and the sweep that measures them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev

from tritonsmith.perf.plan.core import Replicas, Traffic
from tritonsmith.perf.plan.document import Plan

SHARES = (0.5, 0.8, 1.0, 1.2)  # of the highest rate within the objectives: below, near, at and beyond
NAME = "chat"  # of the pipeline that a plan writes, by which clients call it
FOLDER = "build/confirm"  # where the sweep lies, and --calibrate finds it


def confirming_rates(found: Replicas) -> tuple[str, ...]:
    """Return requests per second for one replica: shares of the highest rate within the objectives."""
    return tuple(dict.fromkeys(f"{share * found.rate_per_replica.value:.3g}" for share in SHARES))


def sweep_command(plan: Plan, found: Replicas) -> str:
    """Return the command that measures one running replica at the rates that confirm a plan."""
    return shlex.join([*sweep_argv(plan, found), "-o", FOLDER])


def sweep_argv(plan: Plan, found: Replicas) -> list[str]:
    """Return the words of the command; the server's name, and a tokenizer that is not beside the model, are the user's.

    Without a tokenizer a word of a prompt would count as a token, and prompts would be longer than planned.
    """
    assert plan.traffic is not None, "asked where there is a traffic"
    traffic, objectives = plan.traffic, plan.objectives
    goals = {"ttft_ms": objectives.ttft_ms, "tpot_ms": objectives.tpot_ms, "latency_ms": objectives.latency_ms}
    argv = ["tritonsmith", "sweep", NAME, "--url", "HOST:8000", "--request-rate", ",".join(confirming_rates(found))]
    argv += ["--prompt-tokens", lengths([one[1] for one in traffic.arrivals] or [traffic.input_tokens])]
    argv += ["--output-tokens", lengths([one[2] for one in traffic.arrivals] or [traffic.output_tokens])]
    argv += ["--tokenizer", tokenizer_of(Path(plan.path))]
    for name, value in goals.items():
        argv += ["--goal", f"{name}={value:g}"] if value is not None else []
    return argv


def lengths(tokens: Sequence[int]) -> str:
    """Return lengths as `sweep` takes them: "1024", or "normal:MEAN:DEVIATION" of those that were recorded."""
    mean, deviation = max(1, round(fmean(tokens))), round(pstdev(tokens))
    return f"normal:{mean}:{deviation}" if deviation else str(mean)


def tokenizer_of(model: Path) -> str:
    """Return the tokenizer that lies beside a model, else a word for it."""
    found = (model if model.is_dir() else model.parent) / "tokenizer.json"
    return str(found) if found.is_file() else "TOKENIZER.json"


def caveat(traffic: Traffic) -> str:
    """Return in what the sweep's requests differ from the traffic, "" where they do not."""
    differs = "recorded ones" if traffic.arrivals else "bursts" if traffic.bursts > 1 else ""
    words = [f"arrivals are random, not {differs}"] if differs else []
    words += ["no part of a prompt is in the cache"] if traffic.prefix_share else []
    return " and ".join(words)
