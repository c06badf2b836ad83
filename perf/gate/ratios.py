"""From runs to one log ratio per pair and point, and to what failed outright."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tritonsmith.perf.gate.core import METRICS, Failure, Run, Side
from tritonsmith.perf.gate.pairs import ORDERS
from tritonsmith.perf.measure.load import Load

RUNS_A_SIDE = len(ORDERS[0]) // 2
SIDES: tuple[Side, Side] = ("baseline", "candidate")


def log_ratios(runs: Sequence[Run]) -> dict[tuple[str, Load], tuple[float, ...]]:
    """Return by (metric, load) one log ratio for each pair whose runs are all there; above 0 the candidate is slower.

    A side's value is the geometric mean of its runs in the pair.
    """
    logs: dict[tuple[str, Load], dict[int, dict[Side, list[float]]]] = defaultdict(dict)
    for run in runs:
        for metric, value in run.values.items():
            by_side = logs[metric, run.load].setdefault(run.pair, {side: [] for side in SIDES})
            if 0 < value < math.inf:
                by_side[run.side].append(math.log(value))
    points = sorted(logs, key=lambda point: (list(METRICS).index(point[0]), point[1].order))
    return {point: tuple(_of_pairs(point[0], logs[point])) for point in points}


def _of_pairs(metric: str, pairs: Mapping[int, Mapping[Side, Sequence[float]]]) -> Iterator[float]:
    sign = -1.0 if METRICS[metric].is_more_better else 1.0
    for _, by_side in sorted(pairs.items()):
        if all(len(by_side[side]) == RUNS_A_SIDE for side in SIDES):
            baseline, candidate = (sum(by_side[side]) / RUNS_A_SIDE for side in SIDES)
            yield sign * (candidate - baseline)


def find_failures(
    runs: Iterable[Run], deciding: Sequence[str], loads: Sequence[Load], pairs: int, sides: Sequence[Side] = SIDES
) -> tuple[Failure, ...]:
    """Return what failed, one line for each kind, side and load; `deciding` are the metrics with a tolerance.

    A run of a planned load in one of the pairs whose requests failed, that gave no data, or that never was, is not left
    out: it is a failure.
    """
    failed: dict[tuple[Side, Load], int] = {}
    whole: dict[tuple[Side, Load], int] = {(side, load): 0 for side in sides for load in loads}
    problems: dict[tuple[Side, Load], str] = {}
    for run in runs:
        point = run.side, run.load
        failed[point] = failed.get(point, 0) + run.failed_requests
        lacking = [metric for metric in deciding if not 0 < run.values.get(metric, 0.0) < math.inf]
        whole[point] = whole.get(point, 0) + (not lacking)
        if lacking:
            problems.setdefault(point, run.problem or f"no {', '.join(lacking)}")
    planned = pairs * RUNS_A_SIDE
    errors = [Failure("errors", *_place(one), f"{count:,} requests failed") for one, count in failed.items() if count]
    gaps = [
        Failure("missing point", *_place(one), f"{planned - have} of {planned} runs{_because(problems.get(one))}")
        for one, have in whole.items()
        if have < planned
    ]
    return tuple(sorted([*errors, *gaps], key=lambda one: (one.side != "candidate", one.kind, one.where)))


def _place(point: tuple[Side, Load]) -> tuple[Side, str]:
    return point[0], str(point[1])


def _because(problem: str | None) -> str:
    return f": {problem}" if problem else ""
