"""What a wish asks of numbers: which metric it maximises, what its value is in the user's unit, what its limits read.

The search works on logarithms of metrics: noise of a machine multiplies, and predictions are wrong by a factor.
"""

from __future__ import annotations

import math

from tritonsmith.perf.limits import TIMES
from tritonsmith.perf.tune.core import Prediction, Trial, Wish

SECONDS_PER_HOUR = 3600
FLOOR = 1e-6  # of metrics whose logarithm is taken


def objective_metric(wish: Wish) -> str:
    """Return the field of `Trial` that the objective is about."""
    if wish.objective == "latency":
        return wish.latency_metric
    return "good_per_s" if wish.objective == "goodput" else "throughput_per_s"


def direction(wish: Wish) -> int:
    """Return 1 where more of the metric is better, -1 where less is."""
    return -1 if wish.objective == "latency" else 1


def log_of(record: Trial | Prediction, metric: str) -> float | None:
    """Return the logarithm of a metric that was measured or predicted; None where a prediction has no such field."""
    value = getattr(record, metric, None)
    if value is None:
        return None
    return math.log(max(FLOOR, float(value))) if math.isfinite(value) else None


def score_of(wish: Wish, record: Trial | Prediction) -> float:
    """Return what the search maximises: the logarithm of the objective's metric, turned so that more is better."""
    log = log_of(record, objective_metric(wish))
    return -math.inf if log is None else direction(wish) * log


def value_of(wish: Wish, score: float) -> float:
    """Return the objective's value in the user's unit for a score: per second, ms, or a price per million answers."""
    if wish.objective == "cost":
        return wish.price_per_hour / SECONDS_PER_HOUR * 1e6 / math.exp(score)
    return math.exp(direction(wish) * score)


def limit_metrics(wish: Wish) -> dict[str, float]:
    """Return the tightest bound of each limited metric. A goodput counts answers by their time, one by one."""
    limits: dict[str, float] = {}
    for limit in wish.limits:
        if wish.objective != "goodput" or limit.metric not in TIMES.values():
            limits[limit.metric] = min(limit.at_most, limits.get(limit.metric, math.inf))
    return limits
