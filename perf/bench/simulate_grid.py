"""Predictions for the grid that the bench of `tune` measured: its sweep, and what probes like those of `tune` tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.bench.accuracy import Grid
from tritonsmith.perf.bench.tune_subjects import SUBJECTS, Subject
from tritonsmith.perf.document import Sweep, read_sweep
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import embedded_target
from tritonsmith.perf.tune.arena.live import live_arena
from tritonsmith.perf.tune.arena.predict import Predictor
from tritonsmith.perf.tune.core import Candidate, Predict, Trial
from tritonsmith.perf.tune.document import Expectation
from tritonsmith.perf.tune.subject import built_subject
from tritonsmith.perf.variants import all_variants

MEASURED, CALIBRATED = "exhaustive", "simulated"  # folders of a subject: the sweep, and our probes of it


def measured_grids(work: Path) -> Iterator[Grid]:
    """Yield each grid that was measured in the folder of the bench of `tune`, with its predictions.

    The models are served and probed now, about 15 seconds each; of what was measured nothing is looked at for that.
    Raises: UsageError where nothing was measured.
    """
    subjects = [subject for subject in SUBJECTS if (work / subject.name / MEASURED).is_dir()]
    if not subjects:
        raise UsageError(f"--grid: nothing was measured in {work}", hint="make bench-tune measures it")
    for subject in subjects:
        sweep = read_sweep(work / subject.name / MEASURED)
        yield grid_of(subject.name, sweep, _predictor(subject, work / subject.name, sweep))


def grid_of(title: str, sweep: Sweep, predict: Predict) -> Grid:
    """Return a sweep's cells as trials, and a prediction for each variant at each load."""
    candidates = candidates_of(sweep)
    trials = [
        Trial(
            _named(dict(cell.variant), candidates),
            cell.measurement.load,
            cell.repeat,
            sweep.plan.window_ms,
            throughput_per_s=cell.measurement.throughput_per_s,
            p99_ms=cell.measurement.latency.p99_us / 1e3,
        )
        for cell in sweep.cells
    ]
    expectations = [
        Expectation(candidate.name, load, predict(candidate, load))
        for candidate in candidates
        for load in sweep.plan.loads
    ]
    return Grid(title, tuple(trials), tuple(expectations))


def candidates_of(sweep: Sweep) -> list[Candidate]:
    """Return a sweep's variants as candidates."""
    return [Candidate(name or "as it is", variant) for name, variant in all_variants(sweep.plan).items()]


def _named(variant: dict[str, object], candidates: list[Candidate]) -> str:
    return next(candidate.name for candidate in candidates if dict(candidate.variant) == variant)


def _predictor(subject: Subject, folder: Path, sweep: Sweep) -> Predictor:
    console.say(f"{subject.name}: {len(sweep.cells)} cells were measured; probing")
    place = folder / CALIBRATED
    place.mkdir(exist_ok=True)
    built = built_subject(subject.write(folder), folder)
    assert built.folder is not None
    with embedded_server(built.folder) as server:
        target = embedded_target(server)
        rows = made_up_rows(target.control.metadata(subject.model), target.control.config(subject.model))
        inputs = write_input_data(place.absolute() / "inputs.json", rows)
        with live_arena(target, subject.model, inputs, find_analyzer(), place) as arena:
            return arena.calibrate(candidates_of(sweep))
