"""Measure a model over levels of load and configuration variants, so that an interruption loses one cell at most."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.toolchain.find import perf_analyzer_environment, require_perf_analyzer
from tritonsmith.ensembles.draw.core import Graph
from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import TritonsmithError, UsageError
from tritonsmith.perf.cells import Bench
from tritonsmith.perf.document import Sweep, SweepPlan, cell_digest, read_cell, read_sweep, write_cell, write_sweep
from tritonsmith.perf.executors.core import CellTask, Executor
from tritonsmith.perf.executors.local import LocalExecutor
from tritonsmith.perf.executors.places import differing_places, environment_of
from tritonsmith.perf.folder import keeping
from tritonsmith.perf.identity import identity_of
from tritonsmith.perf.measure.analyzer import AnalyzerTool, analyzer_version, replay_window_ms
from tritonsmith.perf.measure.input_data import INPUT_NAME, require_input_data, write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import now, read_environment
from tritonsmith.perf.pipelines import called_configs, draw_variants, known_calls
from tritonsmith.perf.served import composing_models, is_decoupled, read_configs
from tritonsmith.perf.target import Target
from tritonsmith.perf.trace import replay_of
from tritonsmith.perf.undoing import undo_leftovers
from tritonsmith.perf.variants import measuring_order, require_variations


def replay_plan(plan: SweepPlan, name: str, times_s: Sequence[float], speed: float) -> SweepPlan:
    """Return the plan that replays these arrivals, in seconds from the first; the trace's mean rate is its load."""
    replay = replay_of(name, times_s, speed)
    load = Load("request_rate", float(f"{(len(times_s) - 1) / times_s[-1]:.6g}"))
    return replace(plan, loads=(load,), window_ms=replay_window_ms(times_s[-1]), replay=replay)


def run_sweep(
    plan: SweepPlan, target: Target, folder: Path, progress: Progress, arrivals_s: Sequence[float] = ()
) -> Sweep:
    """Measure what is not yet in `folder`, which is `sweep_folder`'s, and return the whole sweep, also written there.

    Cells are named by what they depend on, so a second call measures only what is missing. What varies is changed on
    the live server and changed back at the end. `arrivals_s` are those of a `replay_plan`.

    Raises: ServerError, UnstableError, UsageError, ToolMissingError; what was measured until then is kept.
    """
    bench = replace(set_up(plan, target, folder), arrivals_s=tuple(arrivals_s))
    sweep = begin_sweep(bench)
    return measure_sweep(sweep, missing_tasks(sweep, bench), LocalExecutor(bench), folder, progress)


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
    begun: Callable[[CellTask], None] = lambda task: progress.update(len(sweep.cells), str(task))  # noqa: E731
    with (
        keeping(folder, lambda: f"{len(sweep.cells)} of {plan.cells} cells are" if sweep.cells else ""),
        contextlib.closing(executor.measure(tasks, begun)) as measured,
    ):
        for one in measured:
            if one.cell.place:  # it was written elsewhere
                write_cell(one.cell, folder)
            cells = (*sweep.cells, one.cell)
            notices = _merged(sweep.notices, one.notices, differing_places(cells))
            sweep = replace(sweep, cells=cells, notices=notices, environment=environment_of(sweep, cells))
            write_sweep(sweep, folder)
    progress.update(len(sweep.cells))
    return sweep


def begin_sweep(bench: Bench, *, machines: str = "", repository: Path | None = None) -> Sweep:
    """Return the sweep with the cells that were measured before.

    `machines` says in words on which it is measured, where that is not this one: then this one is no part of the
    cells' names, and what its server changed does not matter. `repository` is what is served there.
    """
    sweep = new_sweep(bench)
    if machines:
        anywhere = replace(sweep.environment, cpu=machines, cores=0)
        identity = identity_of(bench.target, bench.configs, bench.input_data, anywhere, repository)
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


def find_analyzer() -> AnalyzerTool:
    """Find the installed perf_analyzer.

    Raises: ToolMissingError.
    """
    return AnalyzerTool(require_perf_analyzer(), perf_analyzer_environment())


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


def new_sweep(bench: Bench) -> Sweep:
    """Return the sweep without a cell: what is measured, and where."""
    server = str(bench.target.control.server_metadata().get("version", "unknown"))
    environment = read_environment(server, analyzer_version(bench.tool))
    identity = identity_of(bench.target, bench.configs, bench.input_data, environment)
    notices = bench.target.notices(bench.configs)
    return Sweep(bench.plan, identity, environment, now(), notices=notices, pipelines=_pipelines(bench))


def _pipelines(bench: Bench) -> dict[str, Graph]:
    """Return what is measured, to be drawn."""
    served, calls = bench.served, known_calls(bench.target.repository)
    return draw_variants(bench.plan, served, called_configs(bench.target.control, served, calls), calls)


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
