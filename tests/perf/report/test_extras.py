"""Costs, waiting and energy in reports."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report.tables import as_report_json, render_csv, render_markdown, table_text
from tritonsmith.perf.report.write import render_report
from tritonsmith.perf.slo.core import Answer
from tritonsmith.perf.statistics import Interval
from tritonsmith.perf.summary import summarise

MakeSweep = Callable[..., Sweep]
ANSWER = Answer(
    "concurrency",
    "found",
    8,
    9,
    (),
    860.0,
    Interval(850, 870, 0.95),
    0.999,
    0.996,
    "98.1% of the requests within 50 ms",
)


def test_requests_that_wait_are_told_by_step(make_sweep: MakeSweep) -> None:
    [point, *_] = summarise(make_sweep([Load("concurrency", 8)]))
    assert point.queue_to_compute == {
        "preprocessing": pytest.approx(100 / 2060, abs=1e-4),
        "classifier": pytest.approx(200 / 2060, abs=1e-4),
    }
    assert "preprocessing 0.05, classifier 0.10" in table_text(make_sweep())
    assert "preprocessing 0.05, classifier 0.10" in render_markdown(make_sweep())
    assert "classifier.queue_to_compute" in render_csv(make_sweep()).splitlines()[0]


def test_a_million_requests_cost_what_the_hours_they_take_cost(make_sweep: MakeSweep) -> None:
    sweep = make_sweep([Load("request_rate", 100)])
    priced = replace(sweep, plan=replace(sweep.plan, price_per_hour=3.6))
    [point] = summarise(priced)
    assert point.cost_per_million_requests == pytest.approx(10, rel=1e-3)  # 10,000 s at 0.001 a second
    assert "cost per million requests" in table_text(priced)
    assert "cost per million requests" in render_report(priced, "html")
    assert as_report_json(priced)["points"][0]["cost_per_million_requests"] == point.cost_per_million_requests


def test_without_a_price_or_counters_no_cost_and_no_energy_is_told(make_sweep: MakeSweep) -> None:
    for text in (table_text(make_sweep()), render_report(make_sweep(), "html"), render_csv(make_sweep())):
        assert "per million" not in text
        assert "cost_per_million" not in text
        assert "J/request" not in text


def test_energy_is_told_where_every_repeat_has_it(
    make_sweep: MakeSweep, change_measurements: Callable[..., Sweep]
) -> None:
    sweep = make_sweep([Load("concurrency", 1)])
    measured = change_measurements(sweep, lambda cell: True, joules_per_request=0.25)
    assert summarise(measured)[0].joules_per_request == 0.25
    assert "J/request" in table_text(measured)
    one_lacks = change_measurements(measured, lambda cell: cell.repeat == 1, joules_per_request=None)
    assert summarise(one_lacks)[0].joules_per_request is None


def test_the_answer_to_a_search_stands_in_every_form(make_sweep: MakeSweep) -> None:
    sweep = make_sweep([Load("concurrency", 8), Load("concurrency", 9)], repeats=3)
    found = replace(sweep, plan=replace(sweep.plan, slo={"p99_ms": 50.0}), answers=(ANSWER,))
    line = "up to concurrency 8, 860 requests/s (850 to 870); concurrency 9 fails: 98.1% of the requests within 50 ms"
    assert f"p99 <= 50 ms: {line}" in table_text(found)
    assert line in render_markdown(found)
    page = render_report(found, "html")
    assert line in page
    assert page.count("the highest with p99 &lt;= 50 ms") == render_markdown(found).count("the highest with") == 1
    assert as_report_json(found)["answers"][0]["level"] == 8


def test_a_search_that_was_interrupted_is_not_complete(make_sweep: MakeSweep) -> None:
    sweep = make_sweep([Load("concurrency", 8)])
    searched = replace(sweep, plan=replace(sweep.plan, slo={"p99_ms": 50.0}))
    assert not searched.is_complete
    assert replace(searched, answers=(ANSWER,)).is_complete
