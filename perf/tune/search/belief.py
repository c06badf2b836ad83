"""What is believed of one metric at every candidate and load: a prediction, corrected by what was measured. Only numpy.

The logarithm of a metric is the prediction's, plus errors of the prediction that are shared: by all candidates, by
loads next to one another, by candidates with the same value of a field, by the loads of one candidate; plus, in a
measurement, the bias that a generation of processes keeps for its life, the machine's drift, a cold start and an error
of its own with heavy tails. All are normal with a size, so one linear solve gives means and covariances (a Gaussian
process). How wrong the predictions are and how noisy the runs are, is taken from the measurements themselves: the sizes
under which they are the least surprising. Two candidates are so compared within generations and moments, as pairs are.
Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2.2, 5.4.1; Lange et al. 1989 for the weights.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]

MISMATCHES = (0.04, 0.07, 0.12, 0.25, 0.6)  # standard deviations of a prediction's own error that are considered
ERRORS = (0.03, 0.06, 0.1, 0.17, 0.3)  # and of a run's error, at REFERENCE_S
COMMON, TILT = 0.5, 0.3  # all predictions off by one factor; differences between candidates exaggerated by all alike
GENERATION, DRIFT, DRIFT_TRIALS, COLD = 0.03, 0.03, 8.0, 0.05
NEAR = 1.4  # loads are alike within a factor of four
REFERENCE_S = 1.8
TAILS = 4.0  # degrees of freedom of Student's t
ROUNDS = 4
LIKELY_MISMATCH, LIKELY_ERROR = 0.1, 0.08  # and how far from these, in logarithms, sizes usually are
LIKELY_SPREAD = 1.0


@dataclass(frozen=True)
class Points:
    """Where a metric is asked for: candidates by number, logarithms of loads, logarithms predicted; each [points]."""

    candidate: npt.NDArray[np.int64]
    load: Floats
    predicted: Floats


@dataclass(frozen=True)
class Observations:
    """What was measured, in the order of measuring; each [n].

    `generation` is unique over all candidates; `is_first` marks a generation's first; `seconds` were measured;
    `counting` is the variance that comes from few requests.
    """

    points: Points
    value: Floats
    generation: npt.NDArray[np.int64]
    is_first: npt.NDArray[np.bool_]
    seconds: Floats
    counting: Floats


@dataclass(frozen=True)
class Belief:
    """What is believed after measuring. `features` [candidates, fields] codes the values of fields."""

    features: npt.NDArray[np.int64]
    observations: Observations
    centre: float  # mean of the logarithms predicted for all candidates
    mismatch: float
    error: float
    factor: Floats  # lower triangle of the Cholesky factor of the observations' covariance, [n, n]
    weighted: Floats  # K^-1 (value - predicted), [n]

    def at(self, points: Points) -> tuple[Floats, Floats]:
        """Return the means, [points], and the covariance, [points, points], of a metric's logarithm."""
        own = self.observations.points
        prior = _shared(self.features, points, points, self.centre, self.mismatch)
        if not len(own.load):
            return points.predicted.copy(), prior
        across = _shared(self.features, points, own, self.centre, self.mismatch)
        half = np.linalg.solve(self.factor, across.T)
        return points.predicted + across @ self.weighted, prior - half.T @ half


def believe(features: npt.NDArray[np.int64], observations: Observations, centre: float) -> Belief:
    """Return what is believed after the observations, for the sizes that explain them best."""
    count = len(observations.value)
    if not count:
        return Belief(features, observations, centre, LIKELY_MISMATCH, LIKELY_ERROR, np.zeros((0, 0)), np.zeros(0))
    common, each = _shared_parts(features, observations.points, observations.points, centre)
    disturbed, own = _disturbances(observations), _own(observations)
    residual = observations.value - observations.points.predicted
    best, sizes, weights = -np.inf, (LIKELY_MISMATCH, LIKELY_ERROR), np.ones(count)
    for _ in range(2):
        for mismatch, error in itertools.product(MISMATCHES, ERRORS):
            covariance = (
                common + mismatch**2 * each + disturbed + np.diag((error**2 * own + observations.counting) / weights)
            )
            likelihood = _log_likelihood(covariance, residual) + _log_prior(mismatch, error)
            if likelihood > best:
                best, sizes = likelihood, (mismatch, error)
        base = common + sizes[0] ** 2 * each + disturbed
        noise = sizes[1] ** 2 * own + observations.counting
        weights, best = _weights(base, noise, residual), -np.inf
    factor = np.linalg.cholesky(base + np.diag(noise / weights))
    weighted = np.linalg.solve(factor.T, np.linalg.solve(factor, residual))
    return Belief(features, observations, centre, *sizes, factor, weighted)


def _weights(base: Floats, noise: Floats, residual: Floats) -> Floats:
    """Return how much each observation counts, [n]: less, the further it is from where the others have it."""
    weights = np.ones(len(noise))
    for _ in range(ROUNDS):
        own = noise / weights
        errors = own * np.linalg.solve(base + np.diag(own), residual)
        weights = np.minimum(1.0, (TAILS + 1) / (TAILS + errors**2 / noise))
    return np.asarray(weights)


def _shared(features: npt.NDArray[np.int64], a: Points, b: Points, centre: float, mismatch: float) -> Floats:
    common, each = _shared_parts(features, a, b, centre)
    return np.asarray(common + mismatch**2 * each)


def _shared_parts(features: npt.NDArray[np.int64], a: Points, b: Points, centre: float) -> tuple[Floats, Floats]:
    """Return the covariance of what all predictions have in common, and of what each has, for a mismatch of 1."""
    near = np.exp(-np.abs(a.load[:, None] - b.load[None, :]) / NEAR)
    is_same = a.candidate[:, None] == b.candidate[None, :]
    alike = (features[a.candidate][:, None, :] == features[b.candidate][None, :, :]).mean(axis=-1)
    tilt = TILT**2 * np.outer(a.predicted - centre, b.predicted - centre)
    return COMMON**2 + tilt, 0.5 * near + 0.5 * alike * near + is_same * (0.5 + 0.5 * near)


def _disturbances(observations: Observations) -> Floats:
    """Return the covariance of generations, drift and cold starts, [n, n]."""
    generation, first = observations.generation, observations.is_first.astype(float)
    order = np.arange(len(generation))
    drift = DRIFT**2 * np.exp(-np.abs(order[:, None] - order[None, :]) / DRIFT_TRIALS)
    same = GENERATION**2 * (generation[:, None] == generation[None, :])
    return np.asarray(same + drift + COLD**2 * np.outer(first, first))


def _own(observations: Observations) -> Floats:
    """Return each run's own variance relative to one of REFERENCE_S: bursts of stolen time do not average out soon."""
    return np.asarray(0.4 + 0.6 * REFERENCE_S / np.maximum(0.05, observations.seconds))


def _log_likelihood(covariance: Floats, residual: Floats) -> float:
    factor = np.linalg.cholesky(covariance)
    return float(-0.5 * np.square(np.linalg.solve(factor, residual)).sum() - np.log(np.diag(factor)).sum())


def _log_prior(mismatch: float, error: float) -> float:
    distance = np.log([mismatch / LIKELY_MISMATCH, error / LIKELY_ERROR]) / LIKELY_SPREAD
    return float(-0.5 * np.square(distance).sum())
