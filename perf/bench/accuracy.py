"""What the simulator predicts against what was measured: one point for each setting and load, and their summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tritonsmith.generator import console
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.statistics import median
from tritonsmith.perf.tune.core import Trial
from tritonsmith.perf.tune.document import Expectation

GOAL_THROUGHPUT, GOAL_P99, GOAL_HALF_RANGES = 0.10, 0.25, 1.5
FEWEST = 3  # repeats: fewer have no range


@dataclass(frozen=True)
class Grid:
    """Repeated measurements of candidates at loads, and what the simulator said of them.

    Windows, generations and seconds do not matter; a trial that failed counts for nothing.
    """

    title: str
    trials: tuple[Trial, ...]
    expectations: tuple[Expectation, ...]


def compare(
    setting: str, load: Load, predicted: tuple[float, float], measured: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Return one point: predicted, measured, errors relative to the measured medians, the error p99 may have."""
    rates, p99s = ([float(values[part]) for values in measured] for part in (0, 1))
    rate, p99 = median(rates), median(p99s)
    allowed = max(GOAL_P99, GOAL_HALF_RANGES * (max(p99s) - min(p99s)) / 2 / p99)
    return {
        "setting": setting,
        "load": str(load),
        "predicted_per_s": round(predicted[0], 1),
        "measured_per_s": round(rate, 1),
        "throughput_error": round(predicted[0] / rate - 1, 4),
        "predicted_p99_us": round(predicted[1]),
        "measured_p99_us": round(p99),
        "p99_range_us": [round(min(p99s)), round(max(p99s))],
        "p99_error": round(predicted[1] / p99 - 1, 4),
        "p99_allowed": round(allowed, 4),
    }


def summarize(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median errors against their goals."""
    p99_errors, allowed = [abs(point["p99_error"]) for point in points], [point["p99_allowed"] for point in points]
    within = sum(error <= most for error, most in zip(p99_errors, allowed, strict=True))
    return {
        "median_throughput_error": round(median([abs(point["throughput_error"]) for point in points]), 4),
        "goal_throughput_error": GOAL_THROUGHPUT,
        "median_p99_error": round(median(p99_errors), 4),
        "median_p99_allowed": round(median(allowed), 4),
        "median_p99_error_of_allowed": round(
            median([error / most for error, most in zip(p99_errors, allowed, strict=True)]), 4
        ),
        "p99_within_allowed": f"{within} of {len(points)}",
    }


def as_table(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the points as a table, the worst p99 first."""
    header = [
        "setting",
        "load",
        "predicted /s",
        "measured /s",
        "error",
        "predicted p99",
        "measured",
        "error",
        "allowed",
    ]
    rows = [
        [
            point["setting"],
            point["load"],
            f"{point['predicted_per_s']:.0f}",
            f"{point['measured_per_s']:.0f}",
            f"{point['throughput_error']:+.0%}",
            f"{point['predicted_p99_us'] / 1e3:.1f}",
            f"{point['measured_p99_us'] / 1e3:.1f}",
            f"{point['p99_error']:+.0%}",
            f"{point['p99_allowed']:.0%}",
        ]
        for point in sorted(points, key=lambda point: -abs(point["p99_error"]))
    ]
    return console.table(header, rows)


def grid_points(grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield a point for each candidate and load that was measured often enough and predicted."""
    measured: dict[tuple[str, Load], list[tuple[float, float]]] = {}
    for trial in grid.trials:
        if not trial.failure:
            measured.setdefault((trial.candidate, trial.load), []).append((trial.throughput_per_s, trial.p99_ms * 1e3))
    for expected in grid.expectations:
        values = measured.get((expected.candidate, expected.load), [])
        if len(values) >= FEWEST:
            predicted = (expected.prediction.throughput_per_s, expected.prediction.p99_ms * 1e3)
            yield compare(f"{grid.title}: {expected.candidate}", expected.load, predicted, values)
