"""Cells of machines that differ are told apart; those of one kind are not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tritonsmith.perf.document import Place, Sweep, read_sweep
from tritonsmith.perf.executors.places import differing_places, environment_of, mixed_machines
from tritonsmith.perf.report import render_report
from tritonsmith.perf.summary import summarise


def placed(sweep: Sweep, *hosts: tuple[str, int]) -> Sweep:
    """The sweep with its cells on these hosts with so many cores, in turn."""
    places = [Place(host, replace(sweep.environment, cores=cores)) for host, cores in hosts]
    cells = (replace(cell, place=places[index % len(places)]) for index, cell in enumerate(sweep.cells))
    return replace(sweep, cells=tuple(cells))


def test_hosts_of_one_kind_are_pooled_without_a_word(make_sweep: Callable[..., Sweep]) -> None:
    sweep = placed(make_sweep(), ("a", 4), ("b", 4))
    assert differing_places(sweep.cells) == mixed_machines(sweep.cells) == ()
    assert environment_of(sweep, sweep.cells).cores == 4


def test_what_differs_between_hosts_is_said_once_for_each_kind(make_sweep: Callable[..., Sweep]) -> None:
    sweep = placed(make_sweep(), ("a", 4), ("b", 8), ("c", 8))
    assert differing_places(sweep.cells) == ("b differs from a: cores: 8 on b, 4 on a",)


def test_a_point_from_machines_that_differ_says_so(make_sweep: Callable[..., Sweep]) -> None:
    sweep = placed(make_sweep(), ("a", 4), ("b", 8))
    [remark] = mixed_machines(sweep.cells[:3])
    assert remark == "its repeats were measured on machines that differ (2 on a, 1 on b)"
    assert any("on machines that differ" in remark for point in summarise(sweep) for remark in point.remarks)


def test_a_sweep_on_one_machine_knows_no_places(make_sweep: Callable[..., Sweep]) -> None:
    sweep = make_sweep()
    assert differing_places(sweep.cells) == ()
    assert environment_of(sweep, sweep.cells) == sweep.environment


def test_a_recorded_sweep_of_a_cluster_says_where_it_was_measured() -> None:
    sweep = read_sweep(Path(__file__).parents[1] / "recorded" / "sweep_5_ray.json")
    assert {cell.place.host for cell in sweep.cells if cell.place} == {"node-1"}
    assert environment_of(sweep, sweep.cells) == sweep.environment
    [point] = summarise(sweep)
    assert point.repeats == 3
    assert render_report(sweep, "html").count("node-1") == 0  # one kind of machine
