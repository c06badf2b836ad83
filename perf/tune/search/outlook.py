"""What may be true after what was measured: draws of every candidate's score at every load, limits applied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonsmith.perf.measure.analyzer import measured_s
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Trial
from tritonsmith.perf.tune.search.belief import Belief, Observations, Points, believe
from tritonsmith.perf.tune.search.grid import Grid
from tritonsmith.perf.tune.wishes import direction, limit_metrics, log_of, objective_metric

Floats = npt.NDArray[Any]
DRAWS = 400
BROKEN = -50.0  # the score of a load whose limits do not hold: e^-50 times anything is nothing
TAIL_SPREAD, TAILS_OF = 0.25, {"p99_ms": 0.01, "ttft_ms": 0.01, "tpot_ms": 0.01, "p95_ms": 0.05, "p90_ms": 0.1}
RATHER = 0.5  # a load is proposed only where its limits hold with this probability
CAUTION = 0.6  # scores lost for every factor of e by which that is less than sure


@dataclass(frozen=True)
class Outlook:
    """Draws of the truth. Points are pairs of a candidate's number and a load.

    `scores` [draws, points] have BROKEN where a limit is drawn as broken; `objective` [points] are the mean scores
    without limits; `holds` [points] the probability that limits hold.
    """

    points: tuple[tuple[int, Load], ...]
    scores: Floats
    objective: Floats
    holds: Floats

    def candidates(self) -> list[int]:
        """Return the numbers of the candidates, in order."""
        return list(dict.fromkeys(number for number, _ in self.points))

    def columns(self, number: int) -> list[int]:
        """Return which points are a candidate's."""
        return [place for place, (one, _) in enumerate(self.points) if one == number]

    def best_scores(self, number: int) -> Floats:
        """Return a candidate's score at its best load, [draws]."""
        return np.asarray(self.scores[:, self.columns(number)].max(axis=1))

    def chances(self, number: int) -> dict[Load, float]:
        """Return how probable it is of each load that it is the candidate's best; none where no limit ever holds."""
        columns = self.columns(number)
        scores = self.scores[:, columns]
        possible = scores.max(axis=1) > BROKEN
        best = scores.argmax(axis=1)[possible]
        return {
            self.points[column][1]: float((best == place).mean()) if len(best) else 0.0
            for place, column in enumerate(columns)
        }

    def proposal(self, number: int, allowed: frozenset[Load] | None = None) -> tuple[Load, float] | None:
        """Return the load to run a candidate at, and its mean score; None where limits rather hold at no load.

        A higher load is worth a doubt whether its limits hold, but only so much. `allowed` restricts loads.
        """
        columns = [c for c in self.columns(number) if allowed is None or self.points[c][1] in allowed]
        kept = {c: self.objective[c] + CAUTION * np.log(self.holds[c]) for c in columns if self.holds[c] >= RATHER}
        if not kept:
            return None
        best = max(kept, key=lambda column: float(kept[column]))
        return self.points[best][1], float(self.objective[best])


def survey(
    grid: Grid, features: npt.NDArray[np.int64], trials: Sequence[Trial], alive: Sequence[int], seed: Sequence[int]
) -> Outlook:
    """Return what may be true of the candidates that are alive, by the trials that did not fail."""
    pairs = tuple((number, load) for number in alive for load in grid.loads[number])
    draw = np.random.default_rng(list(seed))
    metric, sign = objective_metric(grid.wish), direction(grid.wish)
    mean, logs = _draw(grid, features, trials, pairs, metric, draw)
    scores = sign * logs
    holds = np.ones(len(pairs))
    for limited, at_most in limit_metrics(grid.wish).items():
        _, values = (mean, logs) if limited == metric else _draw(grid, features, trials, pairs, limited, draw)
        is_kept = values <= math.log(at_most)
        scores = np.where(is_kept, scores, BROKEN)
    if limit_metrics(grid.wish):
        holds = (scores > BROKEN).mean(axis=0)
    return Outlook(pairs, scores, sign * mean, holds)


def _draw(
    grid: Grid,
    features: npt.NDArray[np.int64],
    trials: Sequence[Trial],
    pairs: Sequence[tuple[int, Load]],
    metric: str,
    draw: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return means [points] and draws [draws, points] of a metric's logarithm."""
    belief, unknown = _belief(grid, features, trials, metric)
    mean, covariance = belief.at(_points(grid, pairs, metric, unknown))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return mean, mean + draw.normal(size=(DRAWS, len(pairs))) @ root.T


def _belief(grid: Grid, features: npt.NDArray[np.int64], trials: Sequence[Trial], metric: str) -> tuple[Belief, float]:
    numbers = {one.name: number for number, one in enumerate(grid.candidates)}
    good = [trial for trial in trials if not trial.failure]
    logs = [log_of(trial, metric) or 0.0 for trial in good]
    unknown = float(np.median(logs)) if logs else 0.0
    pairs = [(numbers[trial.candidate], trial.load) for trial in good]
    points = _points(grid, pairs, metric, unknown)
    generations = {key: code for code, key in enumerate(dict.fromkeys((t.candidate, t.generation) for t in good))}
    codes = [generations[trial.candidate, trial.generation] for trial in good]
    observations = Observations(
        points,
        np.array(logs, dtype=float),
        np.array(codes, dtype=np.int64),
        np.array([code not in codes[:place] for place, code in enumerate(codes)], dtype=bool),
        np.array([measured_s(trial.window_ms) for trial in good], dtype=float),
        np.array([_counting(trial, metric) for trial in good], dtype=float),
    )
    known = [grid.log_predicted(number, load, metric, unknown) for number, load in grid.known]
    return believe(features, observations, float(np.mean(known)) if known else unknown), unknown


def _points(grid: Grid, pairs: Sequence[tuple[int, Load]], metric: str, unknown: float) -> Points:
    return Points(
        np.array([number for number, _ in pairs], dtype=np.int64),
        np.log(np.array([load.value for _, load in pairs], dtype=float)),
        np.array([grid.log_predicted(number, load, metric, unknown) for number, load in pairs], dtype=float),
    )


def _counting(trial: Trial, metric: str) -> float:
    """Return the variance of a metric's logarithm that comes from how few requests there were, or beyond a quantile."""
    requests = max(1, trial.requests)
    if metric in TAILS_OF:
        return float(TAIL_SPREAD**2 / max(0.3, requests * TAILS_OF[metric]))
    return 0.25 / requests
