"""How good picks are and what they cost, on made-up spaces: `python -m tritonsmith.perf.bench.tune_simulated`.

Each run draws its own truth, 6 to 15 % from what is predicted, and its own noise (`tune_arena`). The regret is how much
worse the pick truly is, at its load, than the best candidate at any given load. Compared with rough
re-implementations of what Model Analyzer does, on the same spaces under the same noise, however long they take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from tritonsmith.generator import console
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.tune_arena import SimulatedArena, drawn_noise
from tritonsmith.perf.bench.tune_rivals import Choice, brute, quick
from tritonsmith.perf.bench.tune_spaces import LARGE, SPACES, Space, space
from tritonsmith.perf.tune.search.search import search

OBJECTIVES = ("throughput", "limited", "latency", "goodput")
BUDGET_S, LARGE_BUDGET_S, GOAL = 100.0, 120.0, 14 / 15
SLACK = 1.05  # a limit exceeded by more counts as broken
HEADER = ["space", "objective", "search", "regret p50", "p90", "<= 1%", "<= 3%", "limit broken", "seconds", "most"]


@dataclass(frozen=True)
class Run:
    """One search. `regret` is relative; 1 where nothing was picked although something keeps the limits."""

    regret: float
    breaks_limit: bool
    seconds: float


def tuned(made: Space, arena: SimulatedArena, seed: int) -> Choice:
    """Pick with `search`."""
    budget_s = BUDGET_S if made.title in SPACES else LARGE_BUDGET_S
    found = search(made.candidates, made.wish, arena, arena.predict, budget_s=budget_s, seed=seed)
    return (found.pick, found.load) if found.pick and found.load else None


SEARCHES: dict[str, Callable[[Space, SimulatedArena, int], Choice]] = {
    "tune": tuned,
    "brute": lambda made, arena, _: brute(made.candidates, made.wish, arena),
    "quick": lambda made, arena, _: quick(made.candidates, made.wish, arena),
}


def run(title: str, objective: str, name: str, seed: int) -> Run:
    """Search once, and judge the pick by the truth."""
    made = space(title, objective, seed, mismatch=0.06 + 0.09 * (seed * 7 % 10) / 9)
    arena = SimulatedArena(made, drawn_noise(seed), seed, calibration_s=15.0 if name == "tune" else 5.0)
    choice, best = SEARCHES[name](made, arena, seed), made.best_score()
    if choice is None or math.isinf(best):
        return Run(float(choice is None and not math.isinf(best)), choice is not None, arena.spent_s)
    regret = 1 - math.exp(min(0.0, made.true_score(*choice, slack=math.inf) - best))
    return Run(regret, math.isinf(made.true_score(*choice, slack=SLACK)), arena.spent_s)


def summarise(runs: Sequence[Run]) -> dict[str, float]:
    """Return what the table shows of runs."""
    regrets = np.array([one.regret for one in runs])
    seconds = [one.seconds for one in runs]
    return {
        "regret_p50": round(float(np.median(regrets)), 4),
        "regret_p90": round(float(np.quantile(regrets, 0.9)), 4),
        "within_1_percent": round(float((regrets <= 0.01).mean()), 4),
        "within_3_percent": round(float((regrets <= 0.03).mean()), 4),
        "breaks_a_limit": round(float(np.mean([one.breaks_limit for one in runs])), 4),
        "seconds_p50": round(float(np.median(seconds)), 1),
        "seconds_most": round(max(seconds), 1),
    }


@click.command()
@click.option(
    "--runs", type=click.IntRange(1), default=8, show_default=True, help="Searches of each kind on each space."
)
@click.option(
    "--large-runs", type=click.IntRange(1), default=2, show_default=True, help="The same of the large spaces."
)
@click.option("--rivals/--no-rivals", default=True, help="Run what Model Analyzer does, too.")
@click.option("--objective", "objectives", multiple=True, type=click.Choice(OBJECTIVES), default=OBJECTIVES)
@click.option("--dry/--write", default=False, help="Do not write the result.")
def main(runs: int, large_runs: int, *, rivals: bool, objectives: tuple[str, ...], dry: bool) -> None:
    """Search made-up spaces many times and print how good the picks were."""
    names = list(SEARCHES) if rivals else ["tune"]
    cells: list[dict[str, Any]] = []
    everything: dict[tuple[str, str], list[Run]] = {}
    counts = dict.fromkeys(SPACES, runs) | dict.fromkeys(LARGE, large_runs)
    for title, objective in [(title, objective) for title in counts for objective in objectives]:
        if title in LARGE and objective != "throughput":
            continue
        for name in names if title in SPACES else ["tune"]:
            done = [run(title, objective, name, seed) for seed in range(counts[title])]
            everything.setdefault((objective, name), []).extend(done)
            cells.append({"space": title, "objective": objective, "search": name, "runs": len(done), **summarise(done)})
            console.say(" ".join(_row(cells[-1])))
        if not dry:  # after every space, so that what was done is there when the next is interrupted
            totals = _totals(everything)
            write_result(
                "tune_simulated", {"budget_s": BUDGET_S, "goal": round(GOAL, 4), "totals": totals, "cells": cells}
            )
    totals = _totals(everything)
    console.result(console.table(HEADER, [_row(cell) for cell in [*cells, *totals]]))


def _totals(everything: Mapping[tuple[str, str], Sequence[Run]]) -> list[dict[str, Any]]:
    return [
        {"space": "all", "objective": objective, "search": name, "runs": len(done), **summarise(done)}
        for (objective, name), done in everything.items()
    ]


def _row(cell: dict[str, Any]) -> list[str]:
    shares = ("regret_p50", "regret_p90", "within_1_percent", "within_3_percent", "breaks_a_limit")
    return [
        *(str(cell[name]) for name in ("space", "objective", "search")),
        *(f"{cell[name]:.1%}" for name in shares),
        *(f"{cell[name]:.0f}" for name in ("seconds_p50", "seconds_most")),
    ]


if __name__ == "__main__":
    main()
