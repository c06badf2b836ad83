import csv
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tritonsmith.perf.gate.core import Tolerance
from tritonsmith.perf.gate.document import Gate
from tritonsmith.perf.gate.forest import forest_plot
from tritonsmith.perf.gate.page import render_page
from tritonsmith.perf.gate.text import MARKER, as_csv, as_junit, as_markdown, as_step_summary, as_text, plot_line
from tritonsmith.perf.measure.load import Load

MakeGate = Callable[..., Gate]
LOADS = (Load("concurrency", 4), Load("concurrency", 8))
TWO = (Tolerance("p50", 0.05), Tolerance("throughput", 0.05))


def test_the_terminal_shows_each_point_and_why_it_is_not_a_pass(make_gate: MakeGate) -> None:
    said = as_text(make_gate(1.1, pairs=12))
    assert re.search(r"p50 latency at concurrency 4 +\+\d+\.\d% .* 5\.0% +regress", said)
    assert "regress: digits: a|b <i> against main, 12 pairs in 62 s" in said
    assert "beyond the tolerance of 5.0%" in said
    assert "p99 latency" in said
    assert "shown only" in said
    assert "steal 0.0%" in said


def test_markdown_is_a_table_that_names_cannot_break(make_gate: MakeGate) -> None:
    said = as_markdown(make_gate(1.1, pairs=12))
    assert said.startswith(MARKER)
    assert r"a\|b \<i\>" in said
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert said.count("<details>") == said.count("</details>") == 1


def test_a_pass_needs_no_reasons(make_gate: MakeGate) -> None:
    assert "\n- " not in as_markdown(make_gate(1.0))


def test_the_step_summary_draws_the_deciding_points(make_gate: MakeGate) -> None:
    said = as_step_summary(make_gate(1.1, pairs=12, loads=LOADS))
    assert said.count("! tolerance") == 2
    assert "p99 latency at concurrency 4: " not in said.partition("```text")[2]


def test_a_plot_of_characters_shows_the_estimate_beside_the_tolerance(make_gate: MakeGate) -> None:
    [one] = [one for one in make_gate(1.1, pairs=12).verdict.comparisons if one.metric == "p50"]
    drawn = plot_line(one).splitlines()[1]
    assert drawn.index(":") < drawn.index("!") < drawn.index("o")
    beyond = plot_line(replace(one, slowdown=3.0, low=2.0, high=None)).splitlines()[1]
    assert beyond.partition("  (")[0].endswith("o")


@pytest.mark.parametrize(
    ("slowdown", "noise", "failures", "errors"), [(1.0, 0.02, 0, 0), (1.1, 0.02, 2, 0), (1.05, 0.2, 0, 2)]
)
def test_junit_has_a_case_per_deciding_point(
    slowdown: float, noise: float, failures: int, errors: int, make_gate: MakeGate
) -> None:
    suite = ElementTree.fromstring(as_junit(make_gate(slowdown, pairs=20, tolerances=TWO, noise=noise)))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", str(failures), str(errors))


def test_junit_has_what_failed_outright_and_what_was_refused(make_gate: MakeGate) -> None:
    runs = [
        replace(run, failed_requests=3, conditions=replace(run.conditions, steal_share=0.5)) for run in make_gate().runs
    ]
    suite = ElementTree.fromstring(as_junit(make_gate(runs=runs)))[0]
    assert (suite.get("failures"), suite.get("errors")) == ("2", "1")


def test_junit_of_nothing_measured_is_an_error(make_gate: MakeGate) -> None:
    suite = ElementTree.fromstring(as_junit(make_gate(pairs=0, runs=())))[0]
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")


def test_the_drawing_has_a_row_per_point_and_a_dot_per_pair(make_gate: MakeGate) -> None:
    comparisons = make_gate(1.1, pairs=12, loads=LOADS).verdict.comparisons
    drawing = ElementTree.fromstring(forest_plot(comparisons))
    assert len(drawing.findall("g")) == 6
    assert len(drawing.findall(".//circle")) == 6 * (12 + 1)
    assert len(drawing.findall("g/rect")) == 2  # the tolerance, where there is one


def test_what_is_slower_lies_to_the_right(make_gate: MakeGate) -> None:
    first, *_ = make_gate(1.1, pairs=12).verdict.comparisons
    drawing = ElementTree.fromstring(forest_plot([first, replace(first, slowdown=0.95)]))
    estimates = [float(dot.get("cx", 0)) for dot in drawing.findall("g/circle[@r='5.5']")]
    none = [float(line.get("x1", 0)) for line in drawing.findall("line[@class='axis']")][-1]
    assert estimates[1] < none < estimates[0]


def test_an_unbounded_interval_spans_the_scale(make_gate: MakeGate) -> None:
    drawing = ElementTree.fromstring(forest_plot(make_gate(pairs=3).verdict.comparisons))
    assert len(drawing.findall("g/line")) == 3


def test_one_wild_pair_does_not_press_all_else_flat(make_gate: MakeGate) -> None:
    [one, *_] = make_gate(1.0, pairs=20).verdict.comparisons
    wild = replace(one, log_ratios=(*one.log_ratios[:-1], 3.0))
    drawing = ElementTree.fromstring(forest_plot([wild]))
    places = [float(dot.get("cx", 0)) for dot in drawing.findall("g/circle[@r='2.5']")]
    assert max(places[:-1]) - min(places[:-1]) > 150


@pytest.mark.parametrize(("slowdown", "pairs"), [(1.0, 8), (1.1, 12), (1.0, 3), (1.0, 0)])
def test_the_page_is_whole_and_needs_nothing_else(slowdown: float, pairs: int, make_gate: MakeGate) -> None:
    gate = make_gate(slowdown, pairs=pairs)
    page = render_page(gate)
    assert page.startswith("<!doctype html>")
    assert f"digits: {gate.verdict.word}</h1>" in page
    assert "<script" not in page
    assert "http" not in page
    assert "a|b &lt;i&gt;" in page
    assert ("<svg" in page) == bool(gate.verdict.comparisons)


def test_csv_has_a_row_per_point_and_pair(make_gate: MakeGate) -> None:
    gate = make_gate(1.1, pairs=12, loads=LOADS)
    header, *rows = csv.reader(as_csv(gate).splitlines())
    assert len(rows) == 12 * len(gate.verdict.comparisons)
    assert {len(row) for row in rows} == {len(header)}
    [first] = [row for row in rows if row[:3] == ["p50", "concurrency 8", "0"]]
    assert first[-1] == "regress"
    assert 1.0 < float(first[3]) < 1.2
    assert "" in next(csv.reader(as_csv(make_gate(pairs=3)).splitlines()[1:]))
