"""`sweep --mix`: from options to the plans of several models, and what is printed of them together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.cli_sweep import require_stable, target_of
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.executors.cli import require_executor
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.levels import parse_levels
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.mixed import Mix, Whole, parse_mix, points_of, run_mix, wholes
from tritonsmith.perf.report.numbers import ms_between, rate_between
from tritonsmith.perf.report.tables import as_report_json
from tritonsmith.perf.report.write import write_report
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.sweep_options import SweepOptions

MIX_NAME, MIX_SCHEMA = "mix.json", "tritonsmith.mix/1"
NOTE = (
    "Medians over {repeats} repeats; in brackets the range of the repeats or the interval of the median. Only the time "
    "in which all models were measured counts. The whole's mean is over all requests, whose quantiles are not known."
)


@dataclass(frozen=True)
class Mixed:
    """What came of measuring a mix."""

    mix: Mix
    loads: tuple[Load, ...]
    sweeps: Mapping[str, Sweep]

    @property
    def wholes(self) -> list[Whole]:
        """All models together, by load."""
        return wholes(self.sweeps, self.mix, self.loads)


def measure_mix(options: SweepOptions) -> Mixed:
    """Run the mix that the options ask for; what is wrong with them is told before a server is started."""
    require_executor(options)
    mix = parse_mix(options.mix or "")
    _require_alone(options)
    loads = _loads(options, mix)
    find_analyzer()
    totals = _plan(options, "", loads)
    with sweep_folder(options.output) as folder, target_of(options) as target:
        plans = {
            name: replace(
                _plan(options, name, tuple(mix.load_of(name, load) for load in loads)),
                input_data=_input_of(options, name),
            )
            for name in mix.parts
        }
        console.say(f"{mix}: {totals.cells} measurements, about {totals.seconds:.0f} s")
        with console.progress("sweep", totals.cells) as progress:
            return Mixed(mix, loads, run_mix(mix, plans, totals, target, folder, progress))


def show_mix(done: Mixed, folder: Path, *, is_json: bool) -> str:
    """Write each model's page and the document of all, and return what is printed."""
    pages = [str(write_report(sweep, folder / name / "report.html")) for name, sweep in done.sweeps.items()]
    document = json.dumps(mix_document(done), indent=2)
    path = write_by_rename(folder / MIX_NAME, document.encode())
    if is_json:
        return document
    return "\n".join([mix_text(done), "", *(f"report: {page}" for page in pages), f"document: {path}"])


def mix_text(done: Mixed) -> str:
    """Return a table: for each load every model, and the whole."""
    rows = []
    for whole in done.wholes:
        for name, point in points_of(done.sweeps, done.mix, whole.load).items():
            p50, p99 = point.latencies["p50_us"], point.latencies["p99_us"]
            doubt = "*" if "p99_us" in point.unreliable else ""
            times = (ms_between(point.latencies["mean_us"]), ms_between(p50), ms_between(p99) + doubt)
            rows.append((str(point.load), name, rate_between(point.throughput_per_s), *times))
        load = str(whole.load) if done.mix.is_shares else f"{sum(done.mix.parts.values()):g} in flight"
        rows.append((load, "all", rate_between(whole.throughput_per_s), ms_between(whole.mean_us), "", ""))
    remarks = [
        f"{name}, {point.load}: {remark}"
        for load in done.loads
        for name, point in points_of(done.sweeps, done.mix, load).items()
        for remark in point.remarks
    ]
    repeats = max(sweep.plan.repeats for sweep in done.sweeps.values())
    header = ("load", "model", "requests/s", "mean ms", "p50 ms", "p99 ms")
    return "\n".join([console.table(header, rows), "", NOTE.format(repeats=repeats), *remarks])


def mix_document(done: Mixed) -> dict[str, Any]:
    """Return the document of a mix: the parts, the whole by load, and each model's sweep with its points."""
    return {
        "schema": MIX_SCHEMA,
        "parts": dict(done.mix.parts),
        "is_shares": done.mix.is_shares,
        "whole": [asdict(one) for one in done.wholes],
        "models": {name: as_report_json(sweep) for name, sweep in done.sweeps.items()},
    }


def require_stable_mix(done: Mixed) -> None:
    """End with 7 where a model's point is unstable.

    Raises: UnstableError.
    """
    for sweep in done.sweeps.values():
        require_stable(sweep)


def _require_alone(options: SweepOptions) -> None:
    """Refuse what is not for several models at once.

    Raises: UsageError.
    """
    others = {
        "MODEL": options.model,
        "--vary": options.vary,
        "--slo": options.slo,
        "--trace": options.trace,
        "--input": options.inputs,
        "--goal": options.goals,
        "--prompts": options.prompts,
    }
    for name, value in others.items():
        if value:
            hint = "--input-data FOLDER holds MODEL.json for each model" if name == "--input" else "leave one out"
            raise UsageError(f"--mix and {name} exclude each other", hint=hint)


def _loads(options: SweepOptions, mix: Mix) -> tuple[Load, ...]:
    if mix.is_shares:
        if options.concurrency or not options.request_rate:
            hint = "write --request-rate 200; requests in flight are given by model: --mix classifier=4,detector=2"
            raise UsageError("--mix with shares divides a rate", hint=hint)
        return parse_levels("", options.request_rate)
    if options.concurrency or options.request_rate:
        hint = "leave out --concurrency and --request-rate, or write shares: --mix classifier=70%,detector=30%"
        raise UsageError("--mix says the requests in flight of each model already", hint=hint)
    return (Load("concurrency", sum(mix.parts.values())),)


def _input_of(options: SweepOptions, model: str) -> Path | None:
    """Return a model's file in the folder of --input-data; without one its inputs are made up."""
    if options.input_data is None:
        return None
    if not options.input_data.is_dir():
        hint = "name a folder with MODEL.json for each model whose inputs are not made up"
        raise UsageError(f"--input-data: {options.input_data} is one file, for several models", hint=hint)
    path = options.input_data / f"{model}.json"
    return path if path.exists() else None


def _plan(options: SweepOptions, model: str, loads: tuple[Load, ...]) -> SweepPlan:
    return SweepPlan(
        model=model,
        loads=loads,
        repeats=options.repeats,
        window_ms=options.window_ms,
        protocol=options.protocol,
        seed=options.seed,
        price_per_hour=options.price_per_hour,
    )
