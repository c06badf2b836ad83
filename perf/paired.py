"""Variants against the first of them, repeat by repeat on the same host: what differs between hosts cancels out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tritonsmith.perf.document import Cell, Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.measurement import Measurement
from tritonsmith.perf.statistics import Interval, median, median_interval
from tritonsmith.perf.variants import all_variants, variant_name


@dataclass(frozen=True)
class Ratio:
    """A variant's value over the first one's: the median over the pairs, and its interval; 1.1 is 10 % more."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Pairing:
    """A variant at a load beside the sweep's first variant; a pair is a repeat that one host measured both of.

    Repeats in which nothing was answered by either make no pair.
    """

    load: Load
    variant: str
    baseline: str
    pairs: int
    throughput: Ratio
    p50: Ratio


def pairings(sweep: Sweep) -> list[Pairing]:
    """Return each variant beside the first at every load; nothing where all was measured on one host.

    There the points themselves are measured in turn, and their intervals hold no difference of machines.
    """
    if len({cell.place.host for cell in sweep.cells if cell.place}) < 2 or not sweep.plan.variations:
        return []
    first = {variation.field: variation.values[0] for variation in sweep.plan.variations}
    variants = all_variants(sweep.plan)
    baseline = next(name for name, variant in variants.items() if variant == first)
    found = [
        _pairing(sweep, load, name, baseline) for name in variants if name != baseline for load in sweep.plan.loads
    ]
    return [one for one in found if one is not None]


def _pairing(sweep: Sweep, load: Load, variant: str, baseline: str) -> Pairing | None:
    mine, theirs = _by_place(sweep, load, variant), _by_place(sweep, load, baseline)
    pairs = [(theirs[place].measurement, cell.measurement) for place, cell in mine.items() if place in theirs]
    pairs = [pair for pair in pairs if all(one.throughput_per_s > 0 and one.latency.p50_us > 0 for one in pair)]
    if len(pairs) < 2:
        return None
    throughput = _ratio(pairs, lambda one: one.throughput_per_s)
    return Pairing(load, variant, baseline, len(pairs), throughput, _ratio(pairs, lambda one: one.latency.p50_us))


def _by_place(sweep: Sweep, load: Load, variant: str) -> dict[tuple[int, str], Cell]:
    """Return a point's cells by repeat and host."""
    return {
        (cell.repeat, cell.place.host): cell
        for cell in sweep.cells
        if cell.place and cell.measurement.load == load and variant_name(cell.variant) == variant
    }


def _ratio(pairs: list[tuple[Measurement, Measurement]], of: Callable[[Measurement], float]) -> Ratio:
    ratios = [of(candidate) / of(baseline) for baseline, candidate in pairs]
    return Ratio(median(ratios), median_interval(ratios))
