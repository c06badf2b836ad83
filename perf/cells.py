"""Measure one cell: a model under one load, in the configuration that its server has just now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_message
from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.perf.document import Cell, Scalar, SweepPlan, cell_digest, write_cell
from tritonsmith.perf.energy import joules_between, read_joules
from tritonsmith.perf.measure.analyzer import AnalyzerResult, AnalyzerRun, AnalyzerTool, run_analyzer
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import MachineLoad, machine_load, now, read_cpu_ticks
from tritonsmith.perf.measure.measurement import Measurement, compose_measurement
from tritonsmith.perf.measure.replayed import compare_replay
from tritonsmith.perf.measure.server_statistics import caches_between, mean_request_us, step_between
from tritonsmith.perf.overrides import overrides
from tritonsmith.perf.served import is_decoupled
from tritonsmith.perf.target import Target
from tritonsmith.perf.variants import changed_configs, variant_name


@dataclass(frozen=True)
class Bench:
    """What measuring a cell needs, found once."""

    plan: SweepPlan
    target: Target
    folder: Path
    tool: AnalyzerTool
    configs: Mapping[str, Mapping[str, Any]]  # of the model and of all its steps, as served, by name
    steps: tuple[str, ...]  # the models that compute: an ensemble's, else the model itself
    input_data: Path
    arrivals_s: tuple[float, ...] = ()  # of a trace that is replayed, from its start
    warmup_s: float = 0.1  # of a request rate

    @property
    def served(self) -> dict[str, ModelConfig]:
        """The configurations as messages."""
        return {name: as_message(config) for name, config in self.configs.items()}

    @property
    def is_decoupled(self) -> bool:
        """Return whether a request may have any number of responses."""
        return is_decoupled(self.configs)


@dataclass(frozen=True)
class Observation:
    """One run of perf_analyzer, and the server's counters (by model) around it."""

    started_at: str
    result: AnalyzerResult
    before: Mapping[str, ModelCounters]
    after: Mapping[str, ModelCounters]
    machine: MachineLoad
    joules: float | None = None  # that the GPUs took between the readings


def measure_cell(bench: Bench, identity: str, load: Load, variant: Mapping[str, Scalar], repeat: int) -> Cell:
    """Measure one cell and write it.

    Raises: ServerError, UnstableError, UsageError.
    """
    return write_observed(bench, identity, load, variant, repeat, observe(bench, load, repeat))


def observe(bench: Bench, load: Load, repeat: int) -> Observation:
    """Run perf_analyzer once, between two readings of what the server and the machine count."""
    started_at, load_average = now(), os.getloadavg()[0]
    joules = read_joules(bench.target.metrics_url)
    ticks, before = read_cpu_ticks(), read_counters(bench)
    result = run_analyzer(bench.tool, task_of(bench, load, repeat), bench.folder)
    after, machine = read_counters(bench), machine_load(ticks, read_cpu_ticks(), load_average)
    spent = joules_between(joules, read_joules(bench.target.metrics_url)) if joules else None
    return Observation(started_at, result, before, after, machine, spent)


def write_observed(
    bench: Bench, identity: str, load: Load, variant: Mapping[str, Scalar], repeat: int, seen: Observation
) -> Cell:
    """Make a cell of what was observed, and write it."""
    measurement = measurement_of(bench, load, seen)
    digest = cell_digest(bench.plan, load, variant, repeat, identity)
    cell = Cell(digest, dict(variant), repeat, seen.started_at, seen.result.argv, measurement)
    write_cell(cell, bench.folder)
    return cell


def measurement_of(bench: Bench, load: Load, seen: Observation) -> Measurement:
    """Return what an observation says."""
    before, after, model = seen.before, seen.after, bench.plan.model
    steps = tuple(step_between(name, before[name], after[name]) for name in bench.steps)
    requests = after[model].requests - before[model].requests
    measurement = compose_measurement(
        load,
        seen.result,
        mean_request_us(before[model], after[model]),
        steps,
        seen.machine,
        caches_between(before, after),
        bench.plan.slo,
    )
    return replace(
        measurement,
        joules_per_request=None if seen.joules is None or not requests else round(seen.joules / requests, 6),
        replayed=compare_replay(bench.arrivals_s, seen.result.profile) if bench.arrivals_s else None,
    )


@contextlib.contextmanager
def configurations(bench: Bench) -> Iterator[Callable[[Mapping[str, Scalar]], None]]:
    """Give a function that brings a variant onto the live server and warms it up; afterwards all is as it was."""
    is_warm = is_shown = False  # the first command is shown for all: the others differ in the load
    with overrides(bench.target, bench.configs) as changes:

        def configure(variant: Mapping[str, Scalar]) -> None:
            nonlocal is_warm, is_shown
            if changes.bring(changed_configs(variant, changes.base), where=variant_name(variant)) or not is_warm:
                task = task_of(bench, warmup_load(bench.plan))
                run_analyzer(bench.tool, task, bench.folder, is_shown=not is_shown)
                is_warm = is_shown = True

        yield configure


def warmup_load(plan: SweepPlan) -> Load:
    """Return the highest concurrency; a rate could overload the server and leave it with a queue."""
    return Load("concurrency", max((load.value for load in plan.loads if load.kind == "concurrency"), default=4))


def task_of(bench: Bench, load: Load, repeat: int = 0) -> AnalyzerRun:
    """Return what perf_analyzer is to measure for one cell."""
    plan, target = bench.plan, bench.target
    is_grpc = bench.is_decoupled or plan.protocol == "grpc"
    return AnalyzerRun(
        model=plan.model,
        url=target.grpc_url if is_grpc else target.http_url,
        load=load,
        window_ms=plan.window_ms,
        version=plan.version,
        protocol="grpc" if is_grpc else "http",
        input_data=bench.input_data,
        is_decoupled=bench.is_decoupled,
        seed=1000 * plan.seed + repeat,
        arrivals_s=bench.arrivals_s if load.kind == "request_rate" else (),  # not of the warm-up
        warmup_s=bench.warmup_s,
        advice="" if plan.input_data else _made_up_advice(bench),
    )


def _made_up_advice(bench: Bench) -> str:
    """Return the next step where the server fails requests with values that were made up."""
    name = next((entry["name"] for entry in bench.configs[bench.plan.model].get("input", [])), "NAME")
    return (
        "the inputs were made up, since none were given; give real ones: "
        f"--input {name}=VALUE, --input {name}=@FILE for each input, or --input-data FILE"
    )


def read_counters(bench: Bench) -> dict[str, ModelCounters]:
    """Read the counters of the model and of its steps."""
    return {name: parse_counters(bench.target.control.statistics(name), name) for name in bench.configs}
