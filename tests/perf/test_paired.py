"""Variants beside the first one, on the same host, whatever hosts there are."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from tritonsmith.perf.document import Place, Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.paired import pairings
from tritonsmith.perf.report import render_report
from tritonsmith.perf.report.pairs import pairing_lines
from tritonsmith.perf.report.tables import table_text

ONE = (Load("concurrency", 1),)


def slowed(sweep: Sweep, factors: Sequence[float]) -> Sweep:
    """The sweep with each repeat on a host of its own, which is slower by its factor."""
    cells = []
    for cell in sweep.cells:
        factor, measurement = factors[cell.repeat], cell.measurement
        latency = replace(measurement.latency, p50_us=measurement.latency.p50_us * factor)
        measurement = replace(measurement, latency=latency, throughput_per_s=measurement.throughput_per_s / factor)
        place = Place(f"host-{factor:g}", sweep.environment)
        cells.append(replace(cell, measurement=measurement, place=place))
    return replace(sweep, cells=tuple(cells))


def test_hosts_of_different_speed_cancel_out(make_sweep: Callable[..., Sweep]) -> None:
    sweep = slowed(make_sweep(loads=ONE, counts=(1, 2), noise=0.0), (1, 2, 3, 4, 5))
    [one] = pairings(sweep)
    assert (one.load, one.pairs) == (ONE[0], 5)
    assert abs(one.p50.value - 0.9) < 1e-9  # as made up: every further variant takes 10 % less
    assert one.p50.interval.high - one.p50.interval.low < 1e-9
    assert abs(one.throughput.value - 1 / 0.9) < 1e-9


def test_repeats_whose_variants_come_from_two_hosts_are_no_pairs(make_sweep: Callable[..., Sweep]) -> None:
    sweep = slowed(make_sweep(loads=ONE, counts=(1, 2)), (1, 2, 3, 4, 5))
    elsewhere = [
        replace(cell, place=Place("x", sweep.environment)) if cell.repeat < 2 else cell for cell in sweep.cells[::2]
    ]
    mixed = replace(sweep, cells=(*elsewhere, *sweep.cells[1::2]))
    assert [one.pairs for one in pairings(mixed)] == [3]


def test_one_host_and_one_variant_need_no_pairs(make_sweep: Callable[..., Sweep]) -> None:
    assert pairings(make_sweep(counts=(1, 2))) == []
    assert pairings(slowed(make_sweep(counts=(1, 2)), (1, 1, 1, 1, 1))) == []
    assert pairings(slowed(make_sweep(), (1, 2, 3, 4, 5))) == []


def test_a_pair_of_which_one_answered_nothing_is_left_out(make_sweep: Callable[..., Sweep]) -> None:
    sweep = slowed(make_sweep(loads=ONE, counts=(1, 2)), (1, 2, 3, 4, 5))
    dead = sweep.cells[0]
    dead = replace(dead, measurement=replace(dead.measurement, throughput_per_s=0.0))
    assert [one.pairs for one in pairings(replace(sweep, cells=(dead, *sweep.cells[1:])))] == [4]


def test_every_report_says_it(make_sweep: Callable[..., Sweep]) -> None:
    sweep = slowed(make_sweep(loads=ONE, counts=(1, 2), noise=0.0), (1, 2, 3, 4, 5))
    [line] = pairing_lines(sweep)
    assert line == (
        "concurrency 1, classifier.instance_group.count=2 against classifier.instance_group.count=1, "
        "5 repeats each on one host: requests/s +11.1% (+11.1% to +11.1%), p50 -10.0% (-10.0% to -10.0%); "
        "in brackets the 94% interval of the median"
    )
    assert line in table_text(sweep)
    for form in ("html", "markdown"):
        assert "5 repeats each on one host" in render_report(sweep, form)
    [pairing] = json.loads(render_report(sweep, "json"))["pairings"]
    assert (pairing["pairs"], round(pairing["p50"]["value"], 6)) == (5, 0.9)
    first, second = csv.DictReader(io.StringIO(render_report(sweep, "csv")))
    assert (second["paired_with"], second["pairs"]) == ("classifier.instance_group.count=1", "5")
    for name in ("p50_ratio", "p50_ratio_low", "p50_ratio_high"):
        assert round(float(second[name]), 6) == 0.9
    assert round(float(second["throughput_ratio"]), 6) == round(1 / 0.9, 6)
    assert first["pairs"] == first["p50_ratio"] == ""
