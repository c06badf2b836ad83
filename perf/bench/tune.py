"""`tune` against measuring everything: `python -m tritonsmith.perf.bench.tune` (`make bench-tune`), over an hour.

For each of three subjects (`tune_subjects`), 12 configurations at 5 loads: everything is measured, 5 repeats of 1.8 s
each, interleaved; then the command `tune` is run five times, with a seed each, timed from outside; then each pick is
judged against the best of all by at least 20 interleaved pairs in fresh generations. The goals: the pick is within 3 %
of the best in 14 of 15 runs, and each run takes at most a fifth of measuring everything and never more than 120 s.
What is done is kept in --work, so that what was interrupted goes on where it was; stages and subjects can be run apart.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.process import run
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.tune_subjects import SUBJECTS, Subject
from tritonsmith.perf.document import SweepPlan, read_sweep
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.inputs import Inputs, write_inputs
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.statistics import median
from tritonsmith.perf.statistics.signed_rank import bounds, hodges_lehmann
from tritonsmith.perf.sweep import find_analyzer, run_sweep
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.tune.arena.live import live_arena
from tritonsmith.perf.tune.arena.server import tuning_server
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.tune.document import TUNINGS
from tritonsmith.perf.tune.subject import built_subject
from tritonsmith.perf.variants import Variant, changed_configs, parse_variation, variant_name

STAGES = ("exhaustive", "tune", "judge")
GOAL_REGRET, GOAL_SHARE, GOAL_SLOWEST_S, GOAL_WITHIN = 0.03, 0.2, 120.0, 14 / 15
LEVEL = 0.025
HANGS_S = 600.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    loads: tuple[int, ...] = (1, 2, 4, 8, 16)
    repeats: int = 5
    window_ms: int = 500
    runs: int = 5
    pairs: int = 20
    budget_s: float = 110.0


QUICK = Size(loads=(4, 16), repeats=3, window_ms=60, runs=1, pairs=6, budget_s=45.0)


@dataclass(frozen=True)
class Choice:
    """A configuration at a concurrency: an exhaustive measurement's best, or a pick."""

    variant: Variant
    concurrency: float

    @property
    def load(self) -> Load:
        """Return the load."""
        return Load("concurrency", self.concurrency)


@click.command()
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only this.  [default: all]")
@click.option("--subject", "names", multiple=True, type=click.Choice([one.name for one in SUBJECTS]), help="Only this.")
@click.option("--quick", is_flag=True, help="Tiny, to see that it works; nothing is written beside the benchmarks.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/bench-tune"), show_default=True)
def main(stages: tuple[str, ...], names: tuple[str, ...], quick: bool, work: Path) -> None:
    """Run `tune` on three subjects and judge its picks against measuring everything."""
    size, work = (QUICK, work / "quick") if quick else (Size(), work)
    for subject in [one for one in SUBJECTS if not names or one.name in names]:
        folder = work / subject.name
        spec = subject.write(folder)
        for stage in stages or STAGES:
            console.say(f"{subject.name}: {stage}")
            {"exhaustive": measure_all, "tune": tune_all, "judge": judge_all}[stage](subject, spec, folder, size)
    summary = summarize(work, size)
    if not quick and summary["runs"] == summary["planned"]:
        write_result("tune", summary)
    console.result(as_table(summary))


def measure_all(subject: Subject, spec: Path, folder: Path, size: Size) -> None:
    """Measure every configuration at every load, interleaved, and keep how long that took in all."""
    with _served(spec, folder) as target, sweep_folder(folder / "exhaustive") as place:
        plan = SweepPlan(
            model=subject.model,
            loads=tuple(Load("concurrency", value) for value in size.loads),
            repeats=size.repeats,
            window_ms=size.window_ms,
            input_data=_inputs(subject, target, folder),
            variations=tuple(map(parse_variation, subject.vary)),
        )
        begun_s = time.monotonic()
        try:
            with console.progress("exhaustive", plan.cells) as progress:
                run_sweep(plan, target, place, progress)
        finally:
            seconds = _read(place / "wall.json").get("seconds", 0.0) + time.monotonic() - begun_s
            _write(place / "wall.json", {"seconds": round(seconds, 1)})


def tune_all(subject: Subject, spec: Path, folder: Path, size: Size) -> None:
    """Run the command once for each seed, and keep its pick and the seconds it took, as a user has to wait."""
    for seed in range(size.runs):
        kept = folder / f"tune-{seed}.json"
        if kept.exists():
            continue
        output = folder / f"tuning-{seed}"
        shutil.rmtree(output, ignore_errors=True)  # a run that goes on after a kill would look quick
        vary = [word for field in subject.vary for word in ("--vary", field)]
        loads = ",".join(map(str, size.loads))
        argv = [sys.executable, "-m", "tritonsmith.generator", "tune", str(spec), "--model", subject.model, *vary]
        argv += ["--concurrency", loads, "--budget-s", f"{size.budget_s:g}", "--seed", str(seed), "--patch"]
        begun_s = time.monotonic()
        done = run([*argv, "--output", str(output)], timeout_s=size.budget_s + HANGS_S)
        wall_s = time.monotonic() - begun_s
        if done.returncode not in (0, 1, 7):
            raise UsageError(f"tune ended with status {done.returncode}", hint="run it by hand, to see why")
        found = TUNINGS.read(output).found
        record: dict[str, Any] = {"wall_s": round(wall_s, 1), "status": done.returncode, "pick": None}
        if found.pick is not None and found.load is not None:
            record |= {"pick": found.pick.name, "variant": dict(found.pick.variant), "concurrency": found.load.value}
        _write(kept, record)


def judge_all(subject: Subject, spec: Path, folder: Path, size: Size) -> None:
    """Measure each pick and the best of all in turn, each loaded afresh; a pick that several runs made, once."""
    best = best_of(folder)
    picks = [choice for _, record in _runs(folder) if (choice := _choice(record))]
    with _served(spec, folder, tuning_server) as target:
        inputs = _inputs(subject, target, folder)
        base = built_subject(spec, folder).repository
        configs = {name: model.config for name, model in base.models.items() if model.config is not None}
        for pick in picks:
            place = folder / f"judged-{_digest(best, pick)}"
            place.mkdir(exist_ok=True)
            if (place / "pairs.json").exists():
                continue
            is_same = changed_configs(pick.variant, configs).items() <= _whole(configs, best).items()
            is_same &= changed_configs(best.variant, configs).items() <= _whole(configs, pick).items()
            if is_same and pick.concurrency == best.concurrency:
                _write(place / "pairs.json", {"log_ratios": [], "is_the_best": True})
            else:
                with live_arena(target, subject.model, inputs, find_analyzer(), place) as arena:
                    _write(place / "pairs.json", {"log_ratios": list(_pairs(arena, best, pick, size))})


def best_of(folder: Path) -> Choice:
    """Return where the median throughput of the exhaustive measurement is the highest."""
    rates: dict[tuple[str, float], list[float]] = {}
    variants: dict[str, Variant] = {}
    for cell in read_sweep(folder / "exhaustive").cells:
        name = variant_name(cell.variant)
        variants[name] = dict(cell.variant)
        rates.setdefault((name, cell.measurement.load.value), []).append(cell.measurement.throughput_per_s)
    name, concurrency = max(rates, key=lambda point: median(rates[point]))
    return Choice(variants[name], concurrency)


def summarize(work: Path, size: Size) -> dict[str, Any]:
    """Return every run with its regret and its time, and how the goals were met."""
    rows: list[dict[str, Any]] = []
    for subject in SUBJECTS:
        folder = work / subject.name
        wall_s = _read(folder / "exhaustive" / "wall.json").get("seconds", 0.0)
        for seed, record in _runs(folder):
            rows.append(
                {"subject": subject.name, "seed": seed, "exhaustive_s": wall_s, **record, **_judged(folder, record)}
            )
    judged = [row for row in rows if row.get("regret") is not None]
    within = sum(row["regret"] <= GOAL_REGRET for row in judged)
    shares = [row["wall_s"] / row["exhaustive_s"] for row in rows if row["exhaustive_s"]]
    return {
        "planned": size.runs * len(SUBJECTS),
        "runs": len(judged),
        "within_3_percent": within,
        "goal_within": math.ceil(GOAL_WITHIN * size.runs * len(SUBJECTS)),
        "slowest_s": max((row["wall_s"] for row in rows), default=None),
        "goal_slowest_s": GOAL_SLOWEST_S,
        "largest_share_of_exhaustive": round(max(shares), 3) if shares else None,
        "goal_share_of_exhaustive": GOAL_SHARE,
        "size": size.__dict__,
        "details": rows,
    }


def as_table(summary: Mapping[str, Any]) -> str:
    """Return the runs as a table, and the goals."""
    header = ["subject, seed", "pick", "at", "regret", "interval", "pairs", "tune s", "exhaustive s"]
    rows = [
        [
            f"{row['subject']}, {row['seed']}",
            str(row["pick"]),
            f"{row.get('concurrency', math.nan):g}",
            "-" if row.get("regret") is None else f"{row['regret']:+.1%}",
            "-" if row.get("interval") is None else "{:+.1%} to {:+.1%}".format(*row["interval"]),
            str(row.get("pairs", "-")),
            f"{row['wall_s']:.0f}",
            f"{row['exhaustive_s']:.0f}",
        ]
        for row in summary["details"]
    ]
    lines = [console.table(header, rows), ""]
    lines += [f"{key}: {value}" for key, value in summary.items() if key not in ("details", "size")]
    return "\n".join(lines)


def _pairs(arena: Any, best: Choice, pick: Choice, size: Size) -> Iterator[float]:
    """Yield log(best / pick) of throughput, pair after pair, in turns that change; each loaded afresh."""
    sides = {"best": best, "pick": pick}
    candidates = {side: Candidate(f"{side}: {variant_name(one.variant)}", one.variant) for side, one in sides.items()}
    for number in range(size.pairs):
        rates = {}
        for side in ("best", "pick") if number % 2 else ("pick", "best"):
            load, window_ms = sides[side].load, size.window_ms
            trial = arena.measure(candidates[side], load, window_ms=window_ms, is_fresh=True)
            if trial.failure:
                raise UsageError(
                    f"{candidates[side].name} fails: {trial.failure}", hint="tune should not have picked it"
                )
            rates[side] = trial.throughput_per_s
        yield math.log(rates["best"] / rates["pick"])


def _judged(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much worse a run's pick is than the best; nothing where that was not judged yet."""
    choice = _choice(record)
    if choice is None or not (folder / "exhaustive" / "sweep.json").exists():
        return {"regret": 1.0} if choice is None else {}
    known = _read(folder / f"judged-{_digest(best_of(folder), choice)}" / "pairs.json")
    if known.get("is_the_best"):
        return {"regret": 0.0, "pairs": 0}
    logs = known.get("log_ratios", [])
    if not logs:
        return {}
    ends: Sequence[float] = [float(end) for end in bounds(logs, LEVEL)]
    regret = [1 - math.exp(-value) for value in (float(hodges_lehmann(logs)), *ends)]
    return {"regret": round(regret[0], 4), "interval": [round(end, 4) for end in regret[1:]], "pairs": len(logs)}


def _whole(configs: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    return {**configs, **changed_configs(choice.variant, configs)}


def _runs(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    found = ((int(path.stem.removeprefix("tune-")), _read(path)) for path in folder.glob("tune-*.json"))
    return sorted(found, key=lambda one: one[0])


def _choice(record: Mapping[str, Any]) -> Choice | None:
    return Choice(record["variant"], record["concurrency"]) if record.get("pick") is not None else None


def _digest(best: Choice, pick: Choice) -> str:
    facts = [[sorted(one.variant.items()), float(one.concurrency)] for one in (best, pick)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _inputs(subject: Subject, target: Target, folder: Path) -> Path:
    path, _ = write_inputs(Inputs(), subject.model, target, folder / "inputs.json")
    return path


@contextmanager
def _served(
    spec: Path, folder: Path, serving: Callable[[Path], AbstractContextManager[Server]] = embedded_server
) -> Iterator[Target]:
    built = built_subject(spec, folder)
    assert built.folder is not None
    with serving(built.folder) as server:
        yield embedded_target(server)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def _write(path: Path, record: Mapping[str, Any]) -> None:
    write_by_rename(path, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
