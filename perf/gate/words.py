"""A gate in words: what all its outputs say alike."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.perf.gate.core import Comparison, Run
from tritonsmith.perf.gate.decide import MISSED
from tritonsmith.perf.gate.document import Gate

HEADER = ("point", "slowdown", "interval", "smallest visible", "tolerance", "verdict")


def headline(gate: Gate) -> str:
    """Return the verdict in one line."""
    what = f"{gate.plan.model}: {gate.candidate.name} against {gate.baseline.name}"
    kind = "self-test, " if gate.is_self_test else ""
    return f"{kind}{gate.verdict.word}: {what}, {counted(gate)} in {gate.seconds:.0f} s"


def counted(gate: Gate) -> str:
    """Return how much was measured: pairs, or with a stored baseline generations of the candidate alone."""
    return f"{gate.verdict.pairs} {'pairs' if gate.stored_sessions is None else 'generations'}"


def rows(gate: Gate) -> list[tuple[str, ...]]:
    """Return a line per point, under HEADER; those that decide come first."""
    ordered = sorted(gate.verdict.comparisons, key=lambda one: not one.decides)
    return [
        (one.name, percent(one.slowdown), interval(one), visible(one), tolerance(one), one.word or "shown only")
        for one in ordered
    ]


def percent(ratio: float | None) -> str:
    """Return a slowdown as what it adds: "+10.2%"; a dash where it is not bounded."""
    return "-" if ratio is None else f"{ratio - 1:+.1%}"


def interval(one: Comparison) -> str:
    """Return both bounds: "+8.1% to +12.4%"."""
    return f"{percent(one.low)} to {percent(one.high)}" if one.low is not None else "not bounded"


def visible(one: Comparison) -> str:
    """Return the smallest visible slowdown; a dash where there is none."""
    return "-" if one.smallest_visible is None else f"{one.smallest_visible:.1%}"


def tolerance(one: Comparison) -> str:
    """Return how much slower it may be; a dash where that is not decided."""
    return "-" if one.tolerance is None else f"{one.tolerance:.1%}"


def method(gate: Gate) -> Iterator[str]:
    """Yield how to read the numbers, a sentence each."""
    verdict = gate.verdict
    if gate.stored_sessions is not None:
        yield from _stored_method(gate)
        return
    yield (
        "A pair is a fresh start of both servers, each measured four times in turn (ABBA BAAB or BAAB ABBA, drawn); a "
        "slowdown is the Hodges-Lehmann estimate over the pairs, its bounds are those of Wilcoxon's signed-rank test"
    )
    if verdict.level is not None:
        yield (
            f"each bound errs with {verdict.level:.2%} at this look; over all looks and points at most "
            f"{verdict.error:.0%} of gates regress or pass wrongly"
        )
    yield f"the smallest visible slowdown would have been missed with {MISSED:.0%}"


def _stored_method(gate: Gate) -> Iterator[str]:
    yield (
        f"the baseline was not measured now: it is {gate.stored_sessions} sessions of before, on a machine of the same "
        "description; what changed on the machine since then counts as the candidate's"
    )
    yield (
        "the bounds are those of one more session of the baseline (Student's prediction interval on logarithms); with "
        f"the differences between the stored sessions {gate.verdict.error:.0%} of verdicts are wrong either way, if "
        "today is a day like theirs. Both sides side by side (--baseline REPOSITORY) see much smaller slowdowns"
    )


def conditions(gate: Gate) -> str:
    """Return what else went on meanwhile, over all runs."""
    if not gate.runs:
        return "nothing was measured"
    return (
        f"{gate.machine.cpu}, {gate.machine.cores} cores, {_mean(gate.runs, 'busy_share'):.0%} busy; "
        f"load average {_mean(gate.runs, 'load_average'):.1f}; steal {_mean(gate.runs, 'steal_share'):.1%}; "
        f"other programs {_mean(gate.runs, 'foreign_cores'):.2f} cores; "
        f"perf_analyzer {_mean(gate.runs, 'generator_cores'):.2f} cores"
    )


def _mean(runs: tuple[Run, ...], name: str) -> float:
    return sum(float(getattr(run.conditions, name)) for run in runs) / len(runs)
