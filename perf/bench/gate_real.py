"""How often the gate errs on the real server: `python -m tritonsmith.perf.bench.gate_real` (`make bench-gate`), hours.

60 gates of a model against itself, and 20 against one that has 10 % more of the same work in the p50 that a client
sees. Each gate that has ended is one file in --work, so that what was interrupted goes on where it was. The goals: of
the 60, in at most 120 s each, at most 3 regress and at least 45 pass; of the 20, in at most 180 s each, at least 16
regress; none passes that could not have seen 5 %. What else the machine did meanwhile is measured and kept with each.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import click
from pydantic import TypeAdapter, ValidationError

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.bench.gate_model import CONFIG, LOAD, NAME, SCRIPT, slower_iterations, write_models
from tritonsmith.perf.bench.gate_model import ITERATIONS as PLAIN
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.gate.core import Side, Tolerance, Word
from tritonsmith.perf.gate.document import GATES, Gate, GatePlan
from tritonsmith.perf.gate.run import run_gate
from tritonsmith.perf.gate.self_test import highest_share
from tritonsmith.perf.gate.setup import Wish
from tritonsmith.perf.gate.spending import LOOKS
from tritonsmith.perf.inputs import Inputs, write_inputs
from tritonsmith.perf.measure.analyzer import AnalyzerTool
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.statistics import median
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import Target

Kind = Literal["alike", "slower"]
RUNS: dict[Kind, int] = {"alike": 60, "slower": 20}
BUDGETS_S: dict[Kind, float] = {"alike": 120.0, "slower": 180.0}
TOLERANCE = 0.05
MOST_FALSE_ALARMS, LEAST_PASSES, LEAST_FOUND = 3, 45, 16
QUICK_BUDGET_S = 40.0


@dataclass(frozen=True)
class Done:
    """One gate: its verdict on p50, and what the machine did meanwhile (means and the most, over its runs)."""

    identity: str
    kind: Kind
    number: int
    started_at: str
    word: Word
    reasons: tuple[str, ...]
    pairs: int
    seconds: float
    slowdown: float
    low: float | None
    high: float | None
    smallest_visible: float | None
    load_average: float
    busy_share: float
    foreign_cores: float
    steal_share: float
    most_steal_share: float


@dataclass(frozen=True)
class Planted:
    """How the slower model was made: its iterations, and the p50 measured of the plain and that foreseen of it."""

    identity: str
    iterations: int
    plain_p50_us: float
    slower_p50_us: float


_DONE, _PLANTED = TypeAdapter(Done), TypeAdapter(Planted)


@click.command()
@click.option("--runs", default="60,20", show_default=True, help="How many against itself, and against the slower one.")
@click.option("--quick", "is_quick", is_flag=True, help="One of each in 40 s; nothing is kept.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/gate-real"), show_default=True)
@click.option("--afresh", "is_afresh", is_flag=True, help="Forget the gates that are kept.")
def main(runs: str, is_quick: bool, work: Path, is_afresh: bool) -> None:
    """Gate a model against itself and against a slower one, many times, and say how often it was wrong."""
    wanted: dict[Kind, int] = {"alike": 1, "slower": 1} if is_quick else read_runs(runs)
    if is_quick:
        with tempfile.TemporaryDirectory(prefix="tritonsmith-gate-real-") as folder:
            done = gate_all(wanted, Path(folder), {"alike": QUICK_BUDGET_S, "slower": QUICK_BUDGET_S})
    else:
        if is_afresh:
            shutil.rmtree(work, ignore_errors=True)
        done = gate_all(wanted, work.absolute(), BUDGETS_S)  # perf_analyzer runs in a folder of its own
    console.result(closing_table(done))
    if is_quick or any(wanted[kind] < count for kind, count in RUNS.items()):
        console.result("not written: that takes all of them")
    else:
        console.result(str(write_result("gate", result_of(done, planted_in(work)))))


def read_runs(text: str) -> dict[Kind, int]:
    """Return how many gates of each kind "A,B" asks for.

    Raises: UsageError.
    """
    words = text.split(",")
    if len(words) != 2 or not all(word.strip().isdigit() for word in words):
        raise UsageError(f"--runs '{text}' is not two whole numbers", hint="--runs 60,20")
    return {"alike": int(words[0]), "slower": int(words[1])}


def gate_all(wanted: Mapping[Kind, int], work: Path, budgets_s: Mapping[Kind, float]) -> list[Done]:
    """Return so many gates of each kind, measuring those that the folder does not have."""
    tool, identity = find_analyzer(), identity_here()
    done: list[Done] = []
    with sweep_folder(work), console.progress("gates", total=sum(wanted.values())) as bar:
        planted = planted_in(work, identity) or plant(work, tool, identity)
        models: dict[Kind, Path] = {
            "alike": write_models(work / "plain", PLAIN),
            "slower": write_models(work / "slower", planted.iterations),
        }
        for kind, number in in_order(wanted):
            bar.update(len(done), f"{kind} {number}")
            path = work / f"{kind}-{number:02}.json"
            kept = read_done(path, identity)
            if kept is None:
                gate = one_gate(models["alike"], models[kind], budgets_s[kind], number, tool, work)
                kept = summary_of(gate, identity, kind, number)
                write_by_rename(path, _DONE.dump_json(kept, indent=1))
                console.say(row_of(kept))
            done.append(kept)
        bar.update(len(done))
    return done


def in_order(wanted: Mapping[Kind, int]) -> Iterator[tuple[Kind, int]]:
    """Yield the gates, both kinds evenly mixed, so that a run that is cut short has some of each."""
    ranked = [((number + 1) / (count + 1), kind, number) for kind, count in wanted.items() for number in range(count)]
    for _, kind, number in sorted(ranked):
        yield kind, number


def one_gate(baseline: Path, candidate: Path, budget_s: float, seed: int, tool: AnalyzerTool, work: Path) -> Gate:
    """Run one gate as the command does, with the default tolerance."""
    folder = work / "current"

    def write(model: str, target: Target) -> tuple[Path, str]:
        return write_inputs(Inputs(), model, target, folder / "inputs.json")

    plan = GatePlan(NAME, (LOAD,), (Tolerance("p50", TOLERANCE),), budget_s=budget_s, seed=seed)
    repositories: dict[Side, Path] = {"baseline": baseline, "candidate": candidate}
    names = {side: repository.name for side, repository in repositories.items()}
    wish = Wish(plan, names, repositories, write, 0.001, baseline == candidate)
    with sweep_folder(folder), console.progress("gate", LOOKS[-1]) as progress:
        gate = run_gate(wish, tool, folder, progress)
    GATES.write(gate, folder)
    return gate


def summary_of(gate: Gate, identity: str, kind: Kind, number: int) -> Done:
    """Return what is kept of a gate."""
    p50 = next((one for one in gate.verdict.comparisons if one.metric == "p50"), None)
    conditions = [run.conditions for run in gate.runs]
    count = max(1, len(conditions))
    return Done(
        identity=identity,
        kind=kind,
        number=number,
        started_at=gate.started_at,
        word=gate.verdict.word,
        reasons=gate.verdict.reasons,
        pairs=gate.verdict.pairs,
        seconds=gate.seconds,
        slowdown=p50.slowdown if p50 else 1.0,
        low=p50.low if p50 else None,
        high=p50.high if p50 else None,
        smallest_visible=p50.smallest_visible if p50 else None,
        load_average=round(sum(one.load_average for one in conditions) / count, 2),
        busy_share=round(sum(one.busy_share for one in conditions) / count, 3),
        foreign_cores=round(sum(one.foreign_cores for one in conditions) / count, 3),
        steal_share=round(sum(one.steal_share for one in conditions) / count, 4),
        most_steal_share=max((one.steal_share for one in conditions), default=0.0),
    )


def read_done(path: Path, identity: str) -> Done | None:
    """Return a gate that was kept; None where there is none of this version on this machine."""
    try:
        done = _DONE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return done if done.identity == identity else None


def plant(work: Path, tool: AnalyzerTool, identity: str) -> Planted:
    """Measure how much more work makes p50 10 % longer, and keep it."""
    console.say("how many more iterations make p50 10 % longer?")
    with tempfile.TemporaryDirectory(dir=work) as folder:
        found = Planted(identity, *slower_iterations(Path(folder), tool))
    console.say(
        f"{PLAIN} -> {found.iterations} iterations, p50 {found.plain_p50_us:.0f} -> {found.slower_p50_us:.0f} us"
    )
    write_by_rename(work / "planted.json", _PLANTED.dump_json(found, indent=1))
    return found


def planted_in(work: Path, identity: str = "") -> Planted | None:
    """Return what was planted before; None where that was elsewhere."""
    try:
        found = _PLANTED.validate_json((work / "planted.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.identity == (identity or found.identity) else None


def identity_here() -> str:
    """Return a digest of the machine, of our version and of the model: gates kept under another one do not count."""
    machine = read_environment("", "")
    facts = [machine.cpu, machine.cores, version("tritonsmith"), SCRIPT, CONFIG, PLAIN, str(LOAD), TOLERANCE]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def judged(done: Sequence[Done]) -> dict[str, tuple[int, int, str, bool]]:
    """Return by goal: how many, of how many, what the goal is, and whether what there is can still meet or meets it."""
    alike = [one for one in done if one.kind == "alike"]
    slower = [one for one in done if one.kind == "slower"]
    alarms, passes = (sum(one.word == word for one in alike) for word in ("regress", "pass"))
    found = sum(one.word == "regress" for one in slower)
    blind = sum(one.word == "pass" and (one.smallest_visible or 1.0) > TOLERANCE for one in done)
    late = sum(one.seconds > BUDGETS_S[one.kind] for one in done)
    return {
        "false alarms": (alarms, len(alike), f"at most {MOST_FALSE_ALARMS} of 60", alarms <= MOST_FALSE_ALARMS),
        "alike and pass": (
            passes, len(alike), f"at least {LEAST_PASSES} of 60", passes * 60 >= LEAST_PASSES * len(alike)
        ),
        "10% slower and found": (
            found, len(slower), f"at least {LEAST_FOUND} of 20", found * 20 >= LEAST_FOUND * len(slower)
        ),
        "10% slower and passed": (sum(one.word == "pass" for one in slower), len(slower), "shown only", True),
        "passed without sight of 5%": (blind, len(done), "none", not blind),
        "took longer than allowed": (late, len(done), "none", not late),
    }  # fmt: skip


def closing_table(done: Sequence[Done]) -> str:
    """Return what came out beside the goals, and what the machine did meanwhile."""
    rows = [
        [name, f"{count} of {runs}", goal, "yes" if is_met else "no"]
        for name, (count, runs, goal, is_met) in judged(done).items()
    ]
    lines = [console.table(["gates", "seen", "goal", "met"], rows), ""]
    for kind, title in (("alike", "against itself"), ("slower", "against 10 % more work")):
        of_kind = [one for one in done if one.kind == kind]
        if of_kind:
            lines.append(f"{title}: {_spread(of_kind)}")
    return "\n".join([*lines, row_of_machine(done)])


def row_of(one: Done) -> str:
    """Return one gate in a line."""
    visible = "-" if one.smallest_visible is None else f"{one.smallest_visible:.1%}"
    return (
        f"{one.kind} {one.number}: {one.word}, {one.slowdown - 1:+.1%} (visible {visible}), {one.pairs} pairs in "
        f"{one.seconds:.0f} s; load {one.load_average:.1f}, others {one.foreign_cores:.2f} cores, "
        f"steal {one.steal_share:.1%}"
    )


def row_of_machine(done: Sequence[Done]) -> str:
    """Return what else the machine did, over all gates."""
    if not done:
        return "no gate yet"
    loads, others = [one.load_average for one in done], [one.foreign_cores for one in done]
    return (
        f"load average {min(loads):.1f} to {max(loads):.1f}; other programs {min(others):.2f} to {max(others):.2f} "
        f"cores; steal {max(one.steal_share for one in done):.1%} at most"
    )


def result_of(done: Sequence[Done], planted: Planted | None) -> dict[str, object]:
    """Return what is committed: the goals and what was seen, and a line per gate."""
    alike = [one for one in done if one.kind == "alike"]
    alarms = sum(one.word == "regress" for one in alike)
    summary = {
        name: {"seen": count, "of": runs, "goal": goal, "met": is_met}
        for name, (count, runs, goal, is_met) in judged(done).items()
    }
    return {
        "tolerance": TOLERANCE,
        "load": str(LOAD),
        "planted": json.loads(_PLANTED.dump_json(planted)) if planted else None,
        "summary": summary,
        "false_alarm_rate_95_bound": round(highest_share(alarms, len(alike)), 4) if alike else None,
        "machine_meanwhile": row_of_machine(done),
        "gates": [json.loads(_DONE.dump_json(one, exclude={"identity"})) for one in done],
    }


def _spread(done: Sequence[Done]) -> str:
    slowdowns = [one.slowdown - 1 for one in done]
    visible = [one.smallest_visible for one in done if one.smallest_visible is not None]
    seen = f"smallest visible {median(visible):.1%} in the middle, {max(visible):.1%} at most" if visible else ""
    return (
        f"{median(slowdowns):+.1%} in the middle, {min(slowdowns):+.1%} to {max(slowdowns):+.1%}; {seen}; "
        f"{median([one.pairs for one in done]):.0f} pairs, {median([one.seconds for one in done]):.0f} s"
    )


if __name__ == "__main__":
    main()
