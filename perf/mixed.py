"""Traffic for several models at once: one perf_analyzer for each, and only the time in which all of them measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.generator import console
from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import UnstableError, UsageError
from tritonsmith.perf.cells import Bench, Observation, observe, task_of, write_observed
from tritonsmith.perf.document import Cell, Sweep, SweepPlan, cell_digest, read_cell, write_sweep
from tritonsmith.perf.identity import digest_of
from tritonsmith.perf.measure.analyzer import run_analyzer
from tritonsmith.perf.measure.load import MAX_LOAD, Load
from tritonsmith.perf.measure.profile import Profile
from tritonsmith.perf.summary import Estimate, Point, estimate_of, summarise
from tritonsmith.perf.sweep import new_sweep, set_up
from tritonsmith.perf.target import Target
from tritonsmith.perf.variants import measuring_order

LEAST_OVERLAP = 0.7  # of the windows of each model, in which all are measured
ATTEMPTS = 3


@dataclass(frozen=True)
class Mix:
    """How much of the traffic each model gets: shares of a rate, which add up to 1, or requests in flight."""

    parts: Mapping[str, float]
    is_shares: bool

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {part:.4%}".replace(".0000%", "%") if self.is_shares else f"{name} {part:g} in flight"
            for name, part in self.parts.items()
        )

    def load_of(self, model: str, total: Load) -> Load:
        """Return a model's part of a load."""
        part = self.parts[model]
        return Load(total.kind, float(f"{part * total.value:.6g}")) if self.is_shares else Load(total.kind, part)


@dataclass(frozen=True)
class Whole:
    """All models together at one load: answers per second, and the mean latency over all requests, by the repeats."""

    load: Load
    throughput_per_s: Estimate
    mean_us: Estimate


def parse_mix(text: str) -> Mix:
    """Return the mix of "classifier=70%,detector=30%", or of "classifier=4,detector=2", requests in flight.

    Raises: UsageError.
    """
    parts: dict[str, float] = {}
    words = [word.strip() for word in text.split(",")]
    is_shares = all(word.endswith("%") for word in words)
    for word in words:
        name, _, amount = word.rpartition("=")
        try:
            value = float(amount.removesuffix("%")) if is_shares else int(amount)
        except ValueError:
            value = math.nan
        if not name or name in parts or not 0 < value <= (100 if is_shares else MAX_LOAD["concurrency"]):
            hint = "write --mix classifier=70%,detector=30%, or classifier=4,detector=2 for requests in flight"
            raise UsageError(f"--mix: '{word}' is no part of a mix, or is given twice", hint=hint)
        parts[name] = value / 100 if is_shares else float(value)
    if len(parts) < 2:
        raise UsageError(f"--mix: '{text}' is one model", hint="a mix has two at least; name one as MODEL instead")
    if is_shares and abs(sum(parts.values()) - 1) > 1e-6:
        raise UsageError(f"--mix: the shares add up to {sum(parts.values()):.4g}, not to 100%", hint="adjust one")
    return Mix(parts, is_shares)


def run_mix(
    mix: Mix, plans: Mapping[str, SweepPlan], totals: SweepPlan, target: Target, folder: Path, progress: Progress
) -> dict[str, Sweep]:
    """Measure all models at once at each load of `totals`; return each one's sweep, written into its own folder.

    Raises: ServerError, UnstableError where the windows could not be brought together; what was measured is kept.
    """
    benches = {name: _bench(plan, target, folder / name) for name, plan in plans.items()}
    _require_apart(benches)
    sweeps = {name: _beside(new_sweep(bench), mix) for name, bench in benches.items()}
    is_warm, done = False, 0
    for repeat, _, loads in measuring_order(totals):
        for total in loads:
            progress.update(done, f"{total}, repeat {repeat + 1}")
            done += 1
            cells = _kept(benches, sweeps, mix, total, repeat)
            if cells is None:
                if not is_warm:
                    _warm_up(benches)
                    is_warm = True
                cells = _measure(benches, sweeps, mix, total, repeat)
            for name, cell in cells.items():
                sweeps[name] = replace(sweeps[name], cells=(*sweeps[name].cells, cell))
                write_sweep(sweeps[name], benches[name].folder)
    progress.update(done)
    return sweeps


def wholes(sweeps: Mapping[str, Sweep], mix: Mix, loads: Sequence[Load]) -> list[Whole]:
    """Return all models together, by load."""
    found = []
    for total in loads:
        of_models = [
            {cell.repeat: cell.measurement for cell in sweep.cells if cell.measurement.load == mix.load_of(name, total)}
            for name, sweep in sweeps.items()
        ]
        repeats = sorted(set.intersection(*(set(one) for one in of_models)))
        rates = [[one[repeat].throughput_per_s for one in of_models] for repeat in repeats]
        means = [[one[repeat].latency.mean_us for one in of_models] for repeat in repeats]
        if repeats:
            weighted = [float(np.average(mean, weights=rate)) for mean, rate in zip(means, rates, strict=True)]
            found.append(Whole(total, estimate_of([sum(rate) for rate in rates]), estimate_of(weighted)))
    return found


def points_of(sweeps: Mapping[str, Sweep], mix: Mix, total: Load) -> dict[str, Point]:
    """Return each model's point at a load of the whole."""
    return {
        name: point
        for name, sweep in sweeps.items()
        for point in summarise(sweep)
        if point.load == mix.load_of(name, total)
    }


def common_time(profiles: Sequence[Profile]) -> tuple[int, int]:
    """Return from when until when all were measured, in nanoseconds; the end before the start where never."""
    starts = [int(one.window_ends_ns[0]) for one in profiles]
    ends = [int(one.window_ends_ns[-1]) for one in profiles]
    return max(starts), min(ends)


def overlap_share(profiles: Sequence[Profile]) -> float:
    """Return how much of the longest measurement all were measured in."""
    start, end = common_time(profiles)
    return max(0, end - start) / max(int(one.window_ends_ns[-1] - one.window_ends_ns[0]) for one in profiles)


def cut(profile: Profile, start_ns: int, end_ns: int) -> Profile:
    """Return the requests that were answered within a time, of which the windows become thirds."""
    is_kept = (profile.finished_ns >= start_ns) & (profile.finished_ns <= end_ns)
    return profile.only(is_kept, start_ns, end_ns)


def _bench(plan: SweepPlan, target: Target, folder: Path) -> Bench:
    folder.mkdir(parents=True, exist_ok=True)
    return set_up(plan, target, folder)


def _require_apart(benches: Mapping[str, Bench]) -> None:
    """Refuse models that share a step: its counters do not say for whom it computed."""
    seen: dict[str, str] = {}
    for name, bench in benches.items():
        for step in bench.configs:
            if step in seen:
                raise UsageError(
                    f"--mix: '{seen[step]}' and '{name}' both use '{step}', whose statistics do not tell them apart",
                    hint="measure them one after the other, or give each a model of its own",
                )
            seen[step] = name


def _beside(sweep: Sweep, mix: Mix) -> Sweep:
    """Return a sweep whose cells are no other mix's."""
    facts: dict[str, Any] = {"alone": sweep.identity, "parts": dict(mix.parts), "is_shares": mix.is_shares}
    return replace(sweep, identity=digest_of(facts), notices=(*sweep.notices, f"mixed traffic at once: {mix}"))


def _kept(
    benches: Mapping[str, Bench], sweeps: Mapping[str, Sweep], mix: Mix, total: Load, repeat: int
) -> dict[str, Cell] | None:
    """Return the cells of all models that were measured before, in one measurement; None where one is missing."""
    cells = {
        name: read_cell(
            bench.folder, cell_digest(bench.plan, mix.load_of(name, total), {}, repeat, sweeps[name].identity)
        )
        for name, bench in benches.items()
    }
    return {name: cell for name, cell in cells.items() if cell} if all(cells.values()) else None


def _measure(
    benches: Mapping[str, Bench], sweeps: Mapping[str, Sweep], mix: Mix, total: Load, repeat: int
) -> dict[str, Cell]:
    loads = {name: mix.load_of(name, total) for name in benches}
    # 8 warm-up requests are the least: all models take the time of the slowest rate's, so that their windows meet
    warmup_s = max(0.1, 8 / min(load.value for load in loads.values()))
    benches = {name: replace(bench, warmup_s=warmup_s) for name, bench in benches.items()}
    for _ in range(ATTEMPTS):
        seen = _observe_all(benches, loads, repeat)
        profiles = [one.result.profile for one in seen.values()]
        share = overlap_share(profiles)
        if share >= LEAST_OVERLAP:
            start, end = common_time(profiles)
            return {
                name: write_observed(
                    benches[name], sweeps[name].identity, loads[name], {}, repeat, _within(one, start, end)
                )
                for name, one in seen.items()
            }
        console.say(f"note: the models were measured at once for {share:.0%} of the time only; measured again")
    raise UnstableError(
        f"{total}: perf_analyzer's windows for {', '.join(benches)} met for less than {LEAST_OVERLAP:.0%} of the time",
        hint="raise --window-ms: starting takes each of them a while of its own",
    )


def _observe_all(benches: Mapping[str, Bench], loads: Mapping[str, Load], repeat: int) -> dict[str, Observation]:
    with ThreadPoolExecutor(len(benches)) as pool:
        futures = {name: pool.submit(observe, bench, loads[name], repeat) for name, bench in benches.items()}
    return {name: future.result() for name, future in futures.items()}


def _within(seen: Observation, start_ns: int, end_ns: int) -> Observation:
    profile = cut(seen.result.profile, start_ns, end_ns)
    if not len(profile.sent_ns):
        raise UnstableError("a model answered no request while all were measured", hint="raise --window-ms")
    return replace(seen, result=replace(seen.result, profile=profile))


def _warm_up(benches: Mapping[str, Bench]) -> None:
    for index, bench in enumerate(benches.values()):
        task = task_of(bench, Load("concurrency", 1))
        run_analyzer(bench.tool, replace(task, window_ms=100), bench.folder, is_shown=index == 0)
