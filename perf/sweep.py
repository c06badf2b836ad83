"""Measure a model over levels of load and configuration variants, so that an interruption loses one cell at most."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.backends.toolchain.find import perf_analyzer_environment, require_perf_analyzer
from tritonsmith.ensembles.draw.core import Graph
from tritonsmith.generator import console
from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import TritonsmithError, UsageError
from tritonsmith.generator.repository.walk import BYTECODE, walk, whole
from tritonsmith.perf.document import (
    Cell,
    Scalar,
    Sweep,
    SweepPlan,
    cell_digest,
    read_cell,
    read_sweep,
    write_cell,
    write_sweep,
)
from tritonsmith.perf.energy import joules_between, read_joules
from tritonsmith.perf.executors.core import CellTask, Executor
from tritonsmith.perf.executors.local import LocalExecutor
from tritonsmith.perf.executors.places import differing_places, environment_of
from tritonsmith.perf.measure.analyzer import AnalyzerResult, AnalyzerRun, AnalyzerTool, analyzer_version, run_analyzer
from tritonsmith.perf.measure.input_data import INPUT_NAME, made_up_rows, require_input_data, write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import Environment, MachineLoad, machine_load, read_cpu_ticks, read_environment
from tritonsmith.perf.measure.measurement import Measurement, compose_measurement
from tritonsmith.perf.measure.replayed import compare_replay
from tritonsmith.perf.measure.server_statistics import (
    caches_between,
    composing_models,
    mean_request_us,
    step_between,
)
from tritonsmith.perf.overrides import overrides, undo_leftovers
from tritonsmith.perf.pipelines import called_configs, draw_variants, known_calls
from tritonsmith.perf.target import Target
from tritonsmith.perf.variants import changed_configs, measuring_order, require_variations, variant_name

MAX_HASHED_BYTES = 64 << 20  # bigger files count by size and time


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
        return {
            name: ParseDict(dict(config), ModelConfig(), ignore_unknown_fields=True)
            for name, config in self.configs.items()
        }

    @property
    def is_decoupled(self) -> bool:
        """Return whether a request may have any number of responses."""
        return is_decoupled(self.configs)


def run_sweep(plan: SweepPlan, target: Target, folder: Path, progress: Progress) -> Sweep:
    """Measure what is not yet in `folder`, which is `sweep_folder`'s, and return the whole sweep, also written there.

    Cells are named by what they depend on, so a second call measures only what is missing. What varies is changed on
    the live server and changed back at the end.

    Raises: ServerError, UnstableError, UsageError, ToolMissingError; what was measured until then is kept.
    """
    bench = set_up(plan, target, folder)
    sweep = begin_sweep(bench)
    return measure_sweep(sweep, missing_tasks(sweep, bench), here(bench), folder, progress)


def measure_sweep(
    sweep: Sweep, tasks: Sequence[CellTask], executor: Executor, folder: Path, progress: Progress
) -> Sweep:
    """Measure tasks of a sweep with an executor and return the sweep with their cells, each written as it comes.

    Raises: TritonsmithError, the executor's; what was measured until then is kept.
    """
    plan, seconds = sweep.plan, sweep.plan.seconds
    write_sweep(sweep, folder)
    # kept cells count as if they had taken their time now, so that the time left is right
    progress.started_s -= len(sweep.cells) * seconds / plan.cells
    try:
        begun: Callable[[CellTask], None] = lambda task: progress.update(len(sweep.cells), str(task))  # noqa: E731
        with contextlib.closing(executor.measure(tasks, begun)) as measured:
            for one in measured:
                if one.cell.place:  # it was written elsewhere
                    write_cell(one.cell, folder)
                cells = (*sweep.cells, one.cell)
                notices = _merged(sweep.notices, one.notices, differing_places(cells))
                sweep = replace(sweep, cells=cells, notices=notices, environment=environment_of(sweep, cells))
                write_sweep(sweep, folder)
    except (TritonsmithError, KeyboardInterrupt, SystemExit):
        if sweep.cells:
            have = f"{len(sweep.cells)} of {plan.cells} cells"
            console.tip(f"{have} are kept in {folder}; the same command measures the rest")
        raise
    progress.update(len(sweep.cells))
    return sweep


def here(bench: Bench) -> LocalExecutor:
    """Return what measures on a bench."""
    return LocalExecutor(
        configurations=lambda: _configurations(bench),
        measure_cell=lambda task: measure_cell(bench, task.identity, task.load, task.variant, task.repeat),
        notices=lambda: bench.target.notices(bench.configs),
    )


def begin_sweep(bench: Bench, *, is_spread: bool = False) -> Sweep:
    """Return the sweep with the cells that were measured before.

    With `is_spread` it is measured on any machines of a cluster: then this one is no part of the cells' names, and
    what its server changed does not matter.
    """
    sweep = new_sweep(bench)
    if is_spread:
        anywhere = replace(sweep.environment, cpu="any of a cluster", cores=0)
        identity = identity_of(bench.target, bench.configs, bench.input_data, anywhere)
        sweep = replace(sweep, identity=identity, notices=())
    return _with_kept_cells(sweep, bench.folder)


def missing_tasks(sweep: Sweep, bench: Bench) -> list[CellTask]:
    """Return what is left to measure, in measuring order."""
    sent = CellTask(
        digest="",
        identity=sweep.identity,
        plan=sweep.plan,
        load=sweep.plan.loads[0],
        variant={},
        repeat=0,
        input_sha256=hashlib.sha256(bench.input_data.read_bytes()).hexdigest(),
        url=bench.target.http_url,
    )
    have = {cell.digest for cell in sweep.cells}
    return [
        replace(sent, digest=digest, load=load, variant=variant, repeat=repeat)
        for repeat, variant, loads in measuring_order(sweep.plan)
        for load in loads
        if (digest := cell_digest(sweep.plan, load, variant, repeat, sweep.identity)) not in have
    ]


def only_model(control: Control) -> str:
    """Return the one model that can only be meant: the only ensemble, else the only model.

    Raises: UsageError where there are several.
    """
    names = sorted({state.name for state in control.index() if state.state == "READY"})
    ensembles = [name for name in names if composing_models(control.config(name))]
    for candidates in (ensembles, names):
        if len(candidates) == 1:
            return candidates[0]
    raise UsageError(f"which model? The server has {', '.join(names) or 'none that is ready'}", hint="name one")


def is_decoupled(configs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether one of a model's and its steps' configurations allows any number of responses."""
    return any(config.get("model_transaction_policy", {}).get("decoupled", False) for config in configs.values())


def find_analyzer() -> AnalyzerTool:
    """Find the installed perf_analyzer.

    Raises: ToolMissingError.
    """
    return AnalyzerTool(require_perf_analyzer(), perf_analyzer_environment())


def repository_digest(repository: Path, models: tuple[str, ...]) -> str:
    """Return a digest of the models' folders: paths and contents."""
    digest = hashlib.sha256()
    for model in models:
        paths, _ = whole(walk(repository / model, {BYTECODE}))
        for path in sorted(repository / model / path for path in paths):
            digest.update(f"{path.relative_to(repository)}\0".encode())
            digest.update(_fingerprint(path))
    return digest.hexdigest()


def _fingerprint(path: Path) -> bytes:
    state = path.stat()
    if state.st_size > MAX_HASHED_BYTES:
        return f"{state.st_size} {state.st_mtime_ns}".encode()
    return hashlib.sha256(path.read_bytes()).digest()


def set_up(plan: SweepPlan, target: Target, folder: Path) -> Bench:
    """Read what the server has of the model and its steps, and make up inputs where none are given.

    Raises: ServerError, UsageError, ToolMissingError.
    """
    undo_leftovers(target)
    configs = read_configs(target.control, plan.model, plan.version)
    require_variations(plan.variations, configs)
    if plan.goals and not is_decoupled(configs):
        raise UsageError(
            f"goals ({plan.goals}) are for models whose answers stream, and '{plan.model}' is not decoupled",
            hint="leave out --goal; p50 and p99 are measured of every model",
        )
    steps = tuple(name for name, config in configs.items() if not composing_models(config))
    if plan.input_data:
        require_input_data(plan.input_data)
        input_data = plan.input_data.absolute()
    else:
        rows = made_up_rows(target.control.metadata(plan.model, plan.version), configs[plan.model])
        input_data = write_input_data(folder.absolute() / INPUT_NAME, rows)
    return Bench(plan, target, folder, find_analyzer(), configs, steps, input_data)


def read_configs(control: Control, model: str, version: str = "") -> dict[str, dict[str, Any]]:
    """Read the configurations of a model and of the models below it, ensembles within ensembles included."""
    configs = {model: control.config(model, version)}
    for name in composing_models(configs[model]):
        configs |= read_configs(control, name)
    return configs


def new_sweep(bench: Bench) -> Sweep:
    """Return the sweep without a cell: what is measured, and where."""
    server = str(bench.target.control.server_metadata().get("version", "unknown"))
    environment = read_environment(server, analyzer_version(bench.tool))
    identity = identity_of(bench.target, bench.configs, bench.input_data, environment)
    notices = bench.target.notices(bench.configs)
    return Sweep(bench.plan, identity, environment, _now(), notices=notices, pipelines=_pipelines(bench))


def identity_of(
    target: Target, configs: Mapping[str, Mapping[str, Any]], input_data: Path, environment: Environment
) -> str:
    """Return a digest of what every number depends on: configurations, files, input and machine."""
    local = target.repository
    facts = {
        "configs": configs,
        "files": repository_digest(local, tuple(configs)) if local else target.http_url,
        "input": hashlib.sha256(input_data.read_bytes()).hexdigest(),
        "machine": [environment.cpu, environment.cores, environment.server, environment.perf_analyzer],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _pipelines(bench: Bench) -> dict[str, Graph]:
    """Return what is measured, to be drawn."""
    served, calls = bench.served, known_calls(bench.target.repository)
    return draw_variants(bench.plan, served, called_configs(bench.target.control, served, calls), calls)


@contextlib.contextmanager
def _configurations(bench: Bench) -> Iterator[Callable[[Mapping[str, Scalar]], None]]:
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


def _with_kept_cells(sweep: Sweep, folder: Path) -> Sweep:
    """Return the sweep with the cells that were measured before, in the order in which they were.

    It began when the first of them did.
    """
    digests = (
        cell_digest(sweep.plan, load, variant, repeat, sweep.identity)
        for repeat, variant, loads in measuring_order(sweep.plan)
        for load in loads
    )
    kept = [cell for cell in (read_cell(folder, digest) for digest in digests) if cell]
    kept.sort(key=lambda cell: cell.started_at)
    started_at = min([sweep.started_at, *(cell.started_at for cell in kept[:1])])
    notices = _merged(sweep.notices, _kept_notices(folder, sweep.identity))
    return replace(sweep, started_at=started_at, cells=tuple(kept), notices=notices)


def _kept_notices(folder: Path, identity: str) -> tuple[str, ...]:
    """Return what was said of variants that are measured and therefore not loaded again."""
    try:
        earlier = read_sweep(folder)
    except TritonsmithError:
        return ()
    return earlier.notices if earlier.identity == identity else ()


def _merged(*lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain(*lines)))


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
    started_at, load_average = _now(), os.getloadavg()[0]
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


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
