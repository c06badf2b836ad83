"""Predictions and fleets as a table and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonsmith.generator import console
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.simulate.given_times import Known, seconds_text
from tritonsmith.perf.simulate.predict import Fleet, SimulatedPoint, cheapest, name_of

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def points_text(found: Sequence[SimulatedPoint]) -> str:
    """Return a table: one row for each variant and load; times in milliseconds."""
    header = ["", "requests/s", "p50 ms", "p90 ms", "p99 ms", "refused", "batch", "busiest"]
    has_refused = any(point.outcome.refused for point in found)
    has_variants = any(point.variant for point in found)
    rows = [_row(point, has_variants=has_variants) for point in found]
    kept = [place for place, title in enumerate(header) if title != "refused" or has_refused]
    table = console.table([header[place] for place in kept], [[row[place] for place in kept] for row in rows])
    if any(point.is_overloaded for point in found):
        table += "\n* more requests than it can answer: times grow for as long as that lasts"
    return table


def fleets_text(found: Sequence[Fleet], rate_per_s: float, quantile: str) -> str:
    """Return a table: one row for each variant, then the answer in words."""
    best = cheapest(found).size
    assert best is not None, "fleets() answers no where there is none"
    header = ["", "replicas", "each answers/s", "at most/s", f"{quantile} ms, {best.spare} down", "all up"]
    table = console.table(header, [_fleet_row(fleet) for fleet in found])
    words = f"{best.replicas} replicas answer {rate_per_s:,.0f} requests/s"
    return f"{table}\n{words}, {best.spare} of them down" if best.spare else f"{table}\n{words}"


def times_text(known: Known) -> str:
    """Return in words what was taken for granted: "classifier: 1 2ms, 8 4.8ms"."""
    parts = [
        f"{name}: " + ", ".join(f"{rows}={seconds_text(mean_us)}" for rows, mean_us in sorted(times.mean_us.items()))
        for name, times in known.services.items()
    ]
    outside = f"; outside of models {seconds_text(known.overhead.mean_us)}" if known.overhead.mean_us else ""
    return "service times: " + "; ".join(parts) + outside


def point_data(point: SimulatedPoint) -> dict[str, Any]:
    """Return plain data; times in microseconds."""
    outcome = point.outcome
    traffic = outcome.traffic[0]
    load = point.load
    return {
        "variant": point.variant,
        "load": {"kind": load.kind, "value": load.value} if load else {"kind": "trace"},
        "throughput_per_s": round(outcome.throughput_per_s, 2),
        "mean_us": _rounded(traffic.mean_us),
        **{f"{name}_us": _rounded(traffic.quantile_us(share)) for name, share in QUANTILES.items()},
        "refused": traffic.rejected,
        "is_overloaded": point.is_overloaded,
        "models": {
            name: {
                "requests": model.requests,
                "mean_batch_size": round(model.mean_batch_size, 2),
                "queue_us": round(model.queue_us, 1),
                "utilization": round(model.utilization, 4),
            }
            for name, model in outcome.models.items()
        },
    }


def fleet_data(fleet: Fleet) -> dict[str, Any]:
    """Return plain data; times in microseconds."""
    size = fleet.size
    if size is None:
        return {"variant": fleet.variant, "replicas": None, "reason": fleet.reason}
    return {
        "variant": fleet.variant,
        "replicas": size.replicas,
        "down": size.spare,
        "rate_per_replica": round(size.rate_per_replica, 2),
        "highest_rate_per_replica": round(size.highest_rate_per_replica, 2),
        "latency_us": _rounded(size.latency_us),
        "latency_all_up_us": _rounded(size.latency_all_up_us),
    }


def _row(point: SimulatedPoint, *, has_variants: bool) -> list[str]:
    outcome, busiest = point.outcome, point.busiest
    traffic, model = outcome.traffic[0], outcome.models[busiest]
    load = str(point.load or "as recorded")
    mark = "*" if point.is_overloaded else ""
    times = [_ms(traffic.quantile_us(share)) + mark for share in (0.5, 0.9, 0.99)]
    return [
        f"{name_of(point.variant)}, {load}" if has_variants else load,
        significant(outcome.throughput_per_s),
        *times,
        f"{traffic.rejected:,}",
        significant(model.mean_batch_size),
        f"{busiest} {model.utilization:.0%}",
    ]


def _fleet_row(fleet: Fleet) -> list[str]:
    size = fleet.size
    if size is None:
        return [name_of(fleet.variant), "none are enough", "", "", "", ""]
    rates = [significant(size.rate_per_replica), significant(size.highest_rate_per_replica)]
    return [
        name_of(fleet.variant),
        f"{size.replicas:,}",
        *rates,
        _ms(size.latency_us),
        _ms(size.latency_all_up_us),
    ]


def _ms(microseconds: float) -> str:
    return "-" if microseconds != microseconds else significant(microseconds / 1e3)


def _rounded(microseconds: float) -> float | None:
    return None if microseconds != microseconds else round(microseconds, 1)
