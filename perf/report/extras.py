"""What a point costs and where its requests wait: a table with only the columns that there is anything for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.summary import Point

WAITING = "queue/compute"
QUEUE_NOTE = "queue/compute: how long requests waited for each second that they were computed, by step."
COST_NOTE = "Costs are those of a machine that is kept at this load all the time."
ENERGY_NOTE = "Joules are those of all GPUs, idle time included."

_COLUMNS: dict[str, Callable[[Point], str]] = {
    WAITING: lambda point: waiting_words(point),
    "cost per million requests": lambda point: _number(point.cost_per_million_requests),
    "cost per million tokens": lambda point: _number(point.cost_per_million_tokens),
    "J/request": lambda point: _number(point.joules_per_request),
    "sent/s of asked/s": lambda point: _rates(point),
    "lag p50, p99 ms": lambda point: _lags(point),
}
_NOTES = {
    WAITING: QUEUE_NOTE,
    "cost per million requests": COST_NOTE,
    "J/request": ENERGY_NOTE,
    "lag p50, p99 ms": "Lag: how far requests were sent from their times in the trace.",
}


def waiting_words(point: Point) -> str:
    """Return each step's ratio of waiting to computing."""
    return ", ".join(f"{name} {_ratio(one)}" for name, one in point.queue_to_compute.items())


def extra_table(
    points: Sequence[Point], names: Sequence[str], *, without: str = ""
) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
    """Return header and rows, `names` being the points'; None where there is nothing to tell.

    `without` leaves out a column that is told elsewhere.
    """
    columns = {name: [read(point) for point in points] for name, read in _COLUMNS.items() if name != without}
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    if not kept:
        return None
    rows = [(name, *cells) for name, *cells in zip(names, *kept.values(), strict=True)]
    return ("load", *kept), rows


def extra_notes(header: Sequence[str]) -> str:
    """Say what the columns mean."""
    return " ".join(_NOTES[name] for name in header if name in _NOTES)


def _number(value: float | None) -> str:
    return "" if value is None else significant(value)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else significant(value)


def _rates(point: Point) -> str:
    return "; ".join(f"{significant(one.sent_per_s)} of {significant(one.asked_per_s)}" for one in point.replayed[:1])


def _lags(point: Point) -> str:
    if not point.replayed:
        return ""
    worst = max(point.replayed, key=lambda one: one.lag_p99_us)
    return f"{significant(worst.lag_p50_us / 1e3)}, {significant(worst.lag_p99_us / 1e3)}"
