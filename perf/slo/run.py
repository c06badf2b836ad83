"""Search the highest load within limits on a running server, so that an interruption loses one cell at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.cells import Bench, measure_cell, task_of
from tritonsmith.perf.document import Cell, Sweep, SweepPlan, cell_digest, read_cell, write_sweep
from tritonsmith.perf.folder import keeping
from tritonsmith.perf.measure.analyzer import run_analyzer
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.slo.core import Answer, Span
from tritonsmith.perf.slo.evidence import levels_of
from tritonsmith.perf.slo.search import conclude, next_level
from tritonsmith.perf.statistics import median, median_interval
from tritonsmith.perf.sweep import new_sweep, set_up
from tritonsmith.perf.target import Target

# What a server says of requests that it has too many of: the level fails then, not the server.
REFUSALS = ("Exceeds maximum queue size", "Request timeout expired")
RATE_OF_CLOSED_LOOP = 0.5  # of the throughput with one request in flight: where the search of a rate begins


@dataclass
class Search:
    """A search as far as it came."""

    bench: Bench
    sweep: Sweep
    failures: dict[Load, str]
    progress: Progress
    is_warm: bool = False


def run_search(plan: SweepPlan, spans: Sequence[Span], target: Target, folder: Path, progress: Progress) -> Sweep:
    """Find the highest level of each span within `plan.slo`; what was measured before in `folder` is not measured anew.

    A rate's span that starts at 0 starts where a closed loop of one request says.

    Raises: ServerError, UnstableError, UsageError, ToolMissingError; what was measured until then is kept.
    """
    bench = set_up(plan, target, folder)
    search = Search(bench, new_sweep(bench), {}, progress)
    with keeping(folder, lambda: f"{len(search.sweep.cells)} cells are" if search.sweep.cells else ""):
        for span in spans:
            if any(answer.outcome == "none" for answer in search.sweep.answers):
                break  # what one request in flight misses, a rate misses
            _search_span(search, span if span.start else replace(span, start=_first_rate(search, span)))
    return search.sweep


def _search_span(search: Search, span: Span) -> None:
    plan = search.bench.plan
    while True:
        levels = levels_of(search.sweep.cells, search.failures, span.kind)
        value = next_level(span, levels, plan.slo, plan.repeats)
        if value is None:
            break
        _measure(search, Load(span.kind, value))
    answer = _with_throughput(conclude(span, levels, plan.slo), search.sweep)
    _write(search, replace(search.sweep, answers=(*search.sweep.answers, answer)))


def _measure(search: Search, load: Load) -> None:
    bench, sweep = search.bench, search.sweep
    repeat = sum(cell.measurement.load == load for cell in sweep.cells)
    kept = read_cell(bench.folder, cell_digest(bench.plan, load, {}, repeat, sweep.identity))
    if kept is None:
        search.progress.update(len(sweep.cells), f"{load}, measurement {repeat + 1}")
        try:
            kept = _measured(search, load, repeat)
        except ServerError as problem:
            if not any(words in problem.message for words in REFUSALS):
                raise
            search.failures[load] = problem.message.strip().splitlines()[-1]
            return
    loads = tuple(sorted({*(cell.measurement.load for cell in sweep.cells), load}, key=lambda one: one.order))
    cells, plan = (*sweep.cells, kept), replace(bench.plan, loads=loads)
    started_at = min(cell.started_at for cell in cells)
    _write(search, replace(sweep, cells=cells, plan=plan, started_at=started_at))


def _measured(search: Search, load: Load, repeat: int) -> Cell:
    if not search.is_warm:
        warm = task_of(search.bench, Load("concurrency", 1))
        run_analyzer(search.bench.tool, warm, search.bench.folder, is_shown=True)
        search.is_warm = True
    return measure_cell(search.bench, search.sweep.identity, load, {}, repeat)


def _first_rate(search: Search, span: Span) -> float:
    """Return where a rate's search begins: below the throughput that the concurrency's search has found."""
    rates = [cell.measurement.throughput_per_s for cell in search.sweep.cells]
    if not rates:
        return span.low
    holding = next((answer.throughput_per_s for answer in search.sweep.answers if answer.level), 0.0)
    rate = RATE_OF_CLOSED_LOOP * (holding or min(rates))
    return min(span.high, max(span.low, float(f"{rate:.3g}")))


def _with_throughput(answer: Answer, sweep: Sweep) -> Answer:
    cells = [cell.measurement for cell in sweep.cells if cell.measurement.load == Load(answer.kind, answer.level or 0)]
    windows = [rate for one in cells for rate in one.windows_per_s]
    if not windows:
        return answer
    rate = median([one.throughput_per_s for one in cells])
    return replace(answer, throughput_per_s=round(rate, 3), throughput_interval=median_interval(windows))


def _write(search: Search, sweep: Sweep) -> None:
    search.sweep = sweep
    write_sweep(sweep, search.bench.folder)
