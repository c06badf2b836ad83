"""The grid of a search: candidates, the loads that each may be tried at, and what is predicted of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tritonsmith.perf.document import Scalar
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Candidate, Predict, Prediction, Wish
from tritonsmith.perf.tune.wishes import limit_metrics, log_of, score_of

WHOLE_GRID = 48  # so many candidates are predicted at every load; of more, the best at one load
MOST_LOADS = 3  # tried between those that are given, for one candidate
WORTH_SPLITTING = 1.15  # ratio of neighbouring loads between which another is tried


@dataclass
class Grid:
    """Candidates by number, 0 to n - 1. Predictions are asked for once; what they cost is not the search's time."""

    candidates: Sequence[Candidate]
    wish: Wish
    predict: Predict
    loads: list[list[Load]] = field(default_factory=list)
    known: dict[tuple[int, Load], Prediction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.wish.loads[-1:] if self.wish.objective == "latency" else self.wish.loads
        self.loads = [list(given) for _ in self.candidates]

    def prediction(self, number: int, load: Load) -> Prediction:
        """Return what is predicted."""
        if (number, load) not in self.known:
            self.known[number, load] = self.predict(self.candidates[number], load)
        return self.known[number, load]

    def log_predicted(self, number: int, load: Load, metric: str, unknown: float) -> float:
        """Return a metric's predicted logarithm; `unknown` where the simulator does not say."""
        log = log_of(self.prediction(number, load), metric)
        return unknown if log is None else log

    def predicted_score(self, number: int) -> float:
        """Return the best score predicted over the loads whose limits are predicted to hold, else over all, less 1."""
        scores = {load: score_of(self.wish, self.prediction(number, load)) for load in self.loads[number]}
        kept = [score for load, score in scores.items() if self.is_predicted_to_hold(number, load)]
        return max(kept) if kept else max(scores.values()) - 1

    def is_predicted_to_hold(self, number: int, load: Load) -> bool:
        """Return whether all predicted limits hold."""
        prediction = self.prediction(number, load)
        logs = {metric: log_of(prediction, metric) for metric in limit_metrics(self.wish)}
        limits = limit_metrics(self.wish)
        return all(log is None or log <= math.log(limits[metric]) for metric, log in logs.items())

    def split(self, number: int, low: Load, high: Load) -> Load | None:
        """Add a load between two of a candidate's loads, and return it; None where they are close or enough are."""
        between = math.sqrt(low.value * high.value)
        if low.kind == "concurrency":
            between = round(between)
        is_enough = len(self.loads[number]) >= len(self.wish.loads) + MOST_LOADS
        if is_enough or high.value / low.value < WORTH_SPLITTING or not low.value < between < high.value:
            return None
        load = Load(low.kind, between)
        self.loads[number] = sorted([*self.loads[number], load], key=lambda one: one.order)
        return load


def contenders(grid: Grid) -> list[int]:
    """Return the candidates worth predicting at every load, the best predicted first.

    All, where there are few. Of many, those predicted best at the highest load, where a closed loop shows capacity, and
    of each value of each field the best: a prediction may be wrong for all that share a value.
    """
    is_large = len(grid.candidates) > WHOLE_GRID
    numbers = _promising(grid) if is_large else list(range(len(grid.candidates)))
    return sorted(numbers, key=lambda number: -grid.predicted_score(number))


def _promising(grid: Grid) -> list[int]:
    highest = grid.loads[0][-1]
    rough = [score_of(grid.wish, grid.prediction(number, highest)) for number in range(len(grid.candidates))]
    ranked = sorted(range(len(grid.candidates)), key=lambda number: -rough[number])
    chosen = ranked[: WHOLE_GRID * 3 // 4]
    for pair in sorted({pair for one in grid.candidates for pair in one.variant.items()}, key=str):
        best = next(number for number in ranked if pair in grid.candidates[number].variant.items())
        if best not in chosen and len(chosen) < WHOLE_GRID:
            chosen.append(best)
    return chosen


def feature_codes(candidates: Sequence[Candidate]) -> npt.NDArray[np.int64]:
    """Return a number for each value of each field that varies, [candidates, fields]; one column where none does."""
    fields = sorted({name for one in candidates for name in one.variant})
    columns = [_codes([one.variant.get(name) for one in candidates]) for name in fields]
    varying = [column for column in columns if len(set(column)) > 1] or [[0] * len(candidates)]
    return np.array(varying, dtype=np.int64).T


def _codes(values: Sequence[Scalar | None]) -> list[int]:
    order = {value: code for code, value in enumerate(_unique(values))}
    return [order[value] for value in values]


def _unique(values: Sequence[Scalar | None]) -> Iterator[Scalar | None]:
    yield from dict.fromkeys(values)
