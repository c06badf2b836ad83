"""How often the gate errs, by simulation: `python -m tritonsmith.perf.bench.gate_simulated`.

The code that decides judges made-up pairs, for noise as measured on machines that serve, and for slowdowns of none, of
just the tolerance, of 10 and of 20 %. The goals: at most 2 % of gates regress with nothing slower, and at the tolerance
at most 2 % regress and 2 % pass; of those that can see 5 %, at least 90 % find a slowdown of 10 %.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict

import click

from tritonsmith.generator import console
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.gate.noise import MODELS, Noise
from tritonsmith.perf.gate.operating import Characteristics, simulate_gates
from tritonsmith.perf.gate.self_test import highest_share
from tritonsmith.perf.gate.spending import ERROR, LOOKS

TOLERANCE, SLOWDOWNS = 0.05, (1.0, 1.05, 1.1, 1.2)
GOAL_FOUND = 0.9
HEADER = ["noise", "slower by", "regress", "pass", "inconclusive", "pairs", "can see 5%", "of these found"]


@click.command()
@click.option("--gates", default=10_000, show_default=True, help="How many are simulated of each kind.")
@click.option("--seed", default=0, show_default=True)
def main(gates: int, seed: int) -> None:
    """Simulate gates and print how often they say which word."""
    results = {
        (noise, slowdown): simulate_gates(noise, slowdown, TOLERANCE, gates, seed + number)
        for number, (noise, slowdown) in enumerate(itertools.product(MODELS, SLOWDOWNS))
    }
    rows = [_row(noise, slowdown, one) for (noise, slowdown), one in results.items()]
    summary = summarise(results)
    write_result(
        "gate_simulated",
        {
            "tolerance": TOLERANCE,
            "looks": LOOKS,
            "seed": seed,
            "summary": summary,
            "cells": [
                {"noise": asdict(noise) | {"tails": str(noise.tails)}, "slowdown": slowdown, **asdict(one)}
                for (noise, slowdown), one in results.items()
            ],
        },
    )
    console.result(console.table(HEADER, rows))
    console.result("")
    for name, value in summary.items():
        console.result(f"{name}: {value:.2%}")
    console.result(f"goals: at most {ERROR:.0%}, {ERROR:.0%}, {ERROR:.0%}; at least {GOAL_FOUND:.0%}")


def summarise(results: dict[tuple[Noise, float], Characteristics]) -> dict[str, float]:
    """Return the rates that the goals speak of, over all kinds of noise, with the bound where there was no event."""
    alike = [one for (_, slowdown), one in results.items() if slowdown == 1.0]
    edge = [one for (_, slowdown), one in results.items() if slowdown == 1 + TOLERANCE]
    slower = [one for (_, slowdown), one in results.items() if slowdown == 1.1]
    found = sum((one.found or 0.0) * one.seen for one in slower) / max(1, sum(one.seen for one in slower))
    alarms, runs = sum(one.regressed for one in alike), sum(one.gates for one in alike)
    return {
        "false alarms with nothing slower": alarms / runs,
        "false alarms with nothing slower, 95% bound": highest_share(alarms, runs),
        "regress at the tolerance itself": sum(one.regressed for one in edge) / sum(one.gates for one in edge),
        "pass at the tolerance itself": sum(one.passed for one in edge) / sum(one.gates for one in edge),
        "found of 10% slower, where 5% can be seen": found,
        "the same with the worst kind of noise": min(one.found for one in slower if one.found is not None),
    }


def _row(noise: Noise, slowdown: float, one: Characteristics) -> list[str]:
    unclear = 1 - one.regress_share - one.pass_share
    return [
        noise.title,
        f"{slowdown - 1:.0%}",
        f"{one.regress_share:.1%}",
        f"{one.pass_share:.1%}",
        f"{unclear:.1%}",
        f"{one.mean_pairs:.0f}",
        f"{one.seen / one.gates:.1%}",
        "-" if one.found is None else f"{one.found:.1%}",
    ]


if __name__ == "__main__":
    main()
