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
from tritonsmith.perf.measure.analyzer import AnalyzerRun, AnalyzerTool, analyzer_version, run_analyzer
from tritonsmith.perf.measure.input_data import INPUT_NAME, made_up_rows, require_input_data, write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import Environment, machine_load, read_cpu_ticks, read_environment
from tritonsmith.perf.measure.measurement import compose_measurement
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
    bench = _set_up(plan, target, folder)
    sweep = _with_kept_cells(_new_sweep(bench), folder)
    write_sweep(sweep, folder)
    # kept cells count as if they had taken their time now, so that the time left is right
    progress.started_s -= len(sweep.cells) * plan.seconds / plan.cells
    try:
        with _configurations(bench) as configure:
            for repeat, variant, loads in measuring_order(plan):
                missing = _missing(sweep, loads, variant, repeat)
                if missing:
                    configure(variant)
                for load in missing:
                    progress.update(len(sweep.cells), f"{variant_name(variant)} {load}, repeat {repeat + 1}".strip())
                    cell = _measure_cell(bench, sweep.identity, load, variant, repeat)
                    notices = _merged(sweep.notices, target.notices(bench.configs))
                    sweep = replace(sweep, cells=(*sweep.cells, cell), notices=notices)
                    write_sweep(sweep, folder)
    except (TritonsmithError, KeyboardInterrupt, SystemExit):
        if sweep.cells:
            have = f"{len(sweep.cells)} of {plan.cells} cells"
            console.tip(f"{have} are kept in {folder}; the same command measures the rest")
        raise
    progress.update(len(sweep.cells))
    return sweep


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


def _set_up(plan: SweepPlan, target: Target, folder: Path) -> Bench:
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


def _new_sweep(bench: Bench) -> Sweep:
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
                task = _task(bench, _warmup_load(bench.plan))
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


def _missing(sweep: Sweep, loads: Sequence[Load], variant: Mapping[str, Scalar], repeat: int) -> list[Load]:
    have = {cell.digest for cell in sweep.cells}
    return [load for load in loads if cell_digest(sweep.plan, load, variant, repeat, sweep.identity) not in have]


def _measure_cell(bench: Bench, identity: str, load: Load, variant: Mapping[str, Scalar], repeat: int) -> Cell:
    started_at, load_average = _now(), os.getloadavg()[0]
    ticks, before = read_cpu_ticks(), _read_counters(bench)
    result = run_analyzer(bench.tool, _task(bench, load, repeat), bench.folder)
    after, machine = _read_counters(bench), machine_load(ticks, read_cpu_ticks(), load_average)
    steps = tuple(step_between(name, before[name], after[name]) for name in bench.steps)
    model = bench.plan.model
    server_us = mean_request_us(before[model], after[model])
    measurement = compose_measurement(load, result, server_us, steps, machine, caches_between(before, after))
    digest = cell_digest(bench.plan, load, variant, repeat, identity)
    cell = Cell(digest, dict(variant), repeat, started_at, result.argv, measurement)
    write_cell(cell, bench.folder)
    return cell


def _warmup_load(plan: SweepPlan) -> Load:
    """Return the highest concurrency; a rate could overload the server and leave it with a queue."""
    return Load("concurrency", max((load.value for load in plan.loads if load.kind == "concurrency"), default=4))


def _task(bench: Bench, load: Load, repeat: int = 0) -> AnalyzerRun:
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
        advice="" if plan.input_data else _made_up_advice(bench),
    )


def _made_up_advice(bench: Bench) -> str:
    """Return the next step where the server fails requests with values that were made up."""
    name = next((entry["name"] for entry in bench.configs[bench.plan.model].get("input", [])), "NAME")
    return (
        "the inputs were made up, since none were given; give real ones: "
        f"--input {name}=VALUE, --input {name}=@FILE for each input, or --input-data FILE"
    )


def _read_counters(bench: Bench) -> dict[str, ModelCounters]:
    return {name: parse_counters(bench.target.control.statistics(name), name) for name in bench.configs}


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
