"""Replay a recorded trace against one model on a running server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonsmith.generator.console import Progress
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.executors.local import LocalExecutor
from tritonsmith.perf.measure.analyzer import replay_window_ms
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.sweep import begin_sweep, measure_sweep, missing_tasks, set_up
from tritonsmith.perf.target import Target
from tritonsmith.perf.trace import replay_of


def replay_plan(plan: SweepPlan, name: str, times_s: Sequence[float], speed: float) -> SweepPlan:
    """Return the plan that replays these arrivals, in seconds from the first; the trace's mean rate is its load."""
    replay = replay_of(name, times_s, speed)
    load = Load("request_rate", float(f"{(len(times_s) - 1) / times_s[-1]:.6g}"))
    return replace(plan, loads=(load,), window_ms=replay_window_ms(times_s[-1]), replay=replay)


def run_replay(plan: SweepPlan, times_s: Sequence[float], target: Target, folder: Path, progress: Progress) -> Sweep:
    """Measure a replay's repeats that are not in `folder` yet; `plan` is `replay_plan`'s.

    Raises: ServerError, UnstableError, UsageError, ToolMissingError; what was measured until then is kept.
    """
    bench = replace(set_up(plan, target, folder), arrivals_s=tuple(times_s))
    sweep = begin_sweep(bench)
    return measure_sweep(sweep, missing_tasks(sweep, bench), LocalExecutor(bench), folder, progress)
