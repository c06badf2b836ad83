"""When a machine is in no state to compare anything on it: reasons, each with the number and the limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tritonsmith.perf.gate.core import Run
from tritonsmith.perf.gate.ratios import SIDES
from tritonsmith.perf.gate.spending import LOOKS

STEAL_LIMIT = 0.02  # of all CPU time: what the hypervisor gave to others
BEHIND_LIMIT = 0.25  # of a point's runs: those in which perf_analyzer, not the server, held the load down
FOREIGN_LIMIT = 0.5  # of the cores: what neither the servers nor perf_analyzer used


def find_refusals(runs: Sequence[Run], cores: int) -> tuple[str, ...]:
    """Return why these runs, measured on so many cores, are not to be judged; nothing where they may be."""
    return (*_saturation(runs), *_theft(runs), *_foreign_load(runs, cores)) if runs else ()


def too_short(budget_s: float, spent_s: float, pair_s: float) -> tuple[str, ...]:
    """Return why a budget cannot lead to a verdict; nothing where it can."""
    needed_s = spent_s + LOOKS[0] * pair_s
    if needed_s <= 1.5 * budget_s:  # the pairs may be shorter than foreseen
        return ()
    said = (
        f"a pair takes about {pair_s:.0f} s at these loads, and a verdict {LOOKS[0]} of them: give it --budget-s "
        f"{math.ceil(needed_s / 10) * 10}, a higher load or a shorter --window-ms"
    )
    return (said,)


def _saturation(runs: Sequence[Run]) -> Iterator[str]:
    """Where the load generator is the bottleneck, both sides look alike."""
    for load in sorted({run.load for run in runs}, key=lambda one: one.order):
        for side in SIDES:
            flags = [run.conditions.is_generator_behind for run in runs if (run.load, run.side) == (load, side)]
            if flags and sum(flags) / len(flags) > BEHIND_LIMIT:
                yield (
                    f"the load generator did not hold {load} in {sum(flags)} of {len(flags)} runs of the {side}; "
                    "ask for less load, or give it more cores"
                )


def _theft(runs: Sequence[Run]) -> Iterator[str]:
    share = sum(run.conditions.steal_share for run in runs) / len(runs)
    if share > STEAL_LIMIT:
        yield f"the hypervisor took {share:.1%} of the CPU time, more than {STEAL_LIMIT:.0%}; use a quieter machine"


def _foreign_load(runs: Sequence[Run], cores: int) -> Iterator[str]:
    foreign = sum(run.conditions.foreign_cores for run in runs) / len(runs)
    if foreign > FOREIGN_LIMIT * cores:
        yield (
            f"other programs used {foreign:.1f} of {cores} cores, more than {FOREIGN_LIMIT:.0%}; "
            "end them, or gate when they have ended"
        )
