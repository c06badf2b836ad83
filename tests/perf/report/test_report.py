import csv
import html
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.measurement import CacheUse
from tritonsmith.perf.report import render_report, table_text, write_report
from tritonsmith.perf.report.numbers import duration, significant

MakeSweep = Callable[..., Sweep]
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Balanced(HTMLParser):
    """Collects the elements, and fails where they do not close as they opened."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_is_whole_and_loads_nothing(make_sweep: MakeSweep) -> None:
    page = render_report(make_sweep(), "html")
    elements = parsed(page).seen
    assert {"script", "img", "iframe"}.isdisjoint({tag for tag, _ in elements})
    addresses = [value for _, attributes in elements for name, value in attributes.items() if name in ("href", "src")]
    assert addresses == ["data:,"]
    assert "http" not in page.replace("http-equiv", "")
    assert "url(" not in page


def test_the_page_has_every_drawing(make_sweep: MakeSweep) -> None:
    page = render_report(make_sweep(), "html")
    identities = re.findall(r'<section id="([\w-]+)"', page)
    assert identities == [
        "throughput-latency", "concurrency", "rate", "breakdown", "steps", "batches", "stability", "table", "extras",
        "method",
    ]  # fmt: skip


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_every_drawing_is_described_for_who_cannot_see_it(make_sweep: MakeSweep) -> None:
    svgs = drawings(render_report(make_sweep(counts=(1, 2)), "html"))
    assert len(svgs) > 8
    for drawing in svgs:
        assert [child.tag for child in list(drawing)[:2]] == ["title", "desc"]
        assert drawing.get("role") == "img"
        assert drawing.get("aria-label")


def test_nothing_is_drawn_outside(make_sweep: MakeSweep) -> None:
    for drawing in drawings(render_report(make_sweep(noise=0.5, counts=(1, 4)), "html")):
        width, height = map(float, str(drawing.get("viewBox")).split()[2:])
        for element in drawing.iter():
            for names, limit in ((("x", "x1", "x2", "cx"), width), (("y", "y1", "y2", "cy"), height)):
                for name in names:
                    assert 0 <= float(element.get(name, 0)) <= limit, (drawing.get("aria-label"), element.attrib)
            assert "nan" not in "".join(element.attrib.values())


def test_a_bar_is_as_long_as_its_time(make_sweep: MakeSweep) -> None:
    page = render_report(make_sweep([Load("concurrency", 8)]), "html")
    [drawing] = [one for one in drawings(page) if one.get("aria-label") == "Time in classifier by phase and load"]
    bars = {str(bar.get("class")): float(str(bar.get("width"))) for bar in drawing.iter("rect") if len(bar)}
    assert bars["fill infer"] / bars["fill queue"] == pytest.approx(2000 / 200, rel=0.01)


def test_a_batch_size_is_the_darker_the_more_often_it_ran(make_sweep: MakeSweep) -> None:
    sweep = make_sweep([Load("concurrency", 8)])
    sizes = {1: 1, 2: 30, 3: 100, 4: 869}  # 0.1 %, 3 %, 10 %, 86.9 %
    cells = [replace(cell.measurement.steps[1], batch_sizes=sizes) for cell in sweep.cells]
    measured = [
        replace(cell, measurement=replace(cell.measurement, steps=(step,)))
        for cell, step in zip(sweep.cells, cells, strict=True)
    ]
    page = render_report(replace(sweep, cells=tuple(measured)), "html")
    [drawing] = [one for one in drawings(page) if one.get("aria-label") == "Batch sizes of classifier"]
    shades = [float(str(cell.get("fill-opacity"))) for cell in drawing.iter("rect") if cell.get("fill-opacity")]
    assert all(darker - lighter > 0.1 for lighter, darker in pairwise(shades)), shades


def test_one_load_has_one_command(make_sweep: MakeSweep) -> None:
    assert "<summary>The command</summary>" in render_report(make_sweep([Load("concurrency", 8)]), "html")
    assert "<summary>The 3 commands, one per load</summary>" in render_report(make_sweep(), "html")


def test_names_from_outside_are_escaped(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    wild = '<b onload="x">&'
    steps = (replace(sweep.cells[0].measurement.steps[0], model=wild), sweep.cells[0].measurement.steps[1])
    cells = tuple(replace(cell, measurement=replace(cell.measurement, steps=steps)) for cell in sweep.cells)
    page = render_report(replace(sweep, plan=replace(sweep.plan, model=wild), cells=cells), "html")
    parsed(page)
    assert wild not in page


def test_variants_have_a_key_and_short_labels(make_sweep: MakeSweep) -> None:
    page = render_report(make_sweep(counts=(1, 2)), "html")
    assert "<dt>V2</dt><dd>classifier.instance_group.count=2</dd>" in page
    assert "<h3>classifier V2</h3>" in page


def test_one_load_alone_makes_a_page(make_sweep: MakeSweep) -> None:
    for load in (Load("concurrency", 1), Load("request_rate", 50)):
        parsed(render_report(make_sweep([load]), "html"))


def test_a_quantile_of_too_few_requests_is_drawn_hollow(
    make_sweep: MakeSweep, change_measurements: Callable[..., Sweep]
) -> None:
    sweep = make_sweep()
    assert 'class="ring' not in render_report(sweep, "html")
    few = replace(sweep.cells[0].measurement.latency, requests=500)
    page = render_report(change_measurements(sweep, lambda cell: cell.measurement.load.value == 8, latency=few), "html")
    assert page.count('class="ring p99"') == 2  # of that load, in both drawings
    assert 'class="ring p50"' not in page


def test_an_interrupted_sweep_says_so(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    page = render_report(replace(sweep, cells=sweep.cells[:7]), "html")
    assert "interrupted: 7 of 15 cells" in page


def test_an_unstable_point_is_marked_not_hidden(make_sweep: MakeSweep) -> None:
    page = render_report(make_sweep(noise=0.7), "html")
    assert "Read with care" in page
    assert 'class="words warned"' in page


def test_a_sweep_without_cells_is_no_report(make_sweep: MakeSweep) -> None:
    with pytest.raises(UsageError, match="no measured cell"):
        render_report(replace(make_sweep(), cells=()), "html")


def test_the_csv_has_a_row_per_point_and_a_unit_in_every_time(make_sweep: MakeSweep) -> None:
    rows = list(csv.DictReader(io.StringIO(render_report(make_sweep(counts=(1, 2)), "csv"))))
    assert len(rows) == 6
    assert {row["load"] for row in rows} == {"1", "8", "100"}
    for row in rows:
        assert float(row["p99_us_low"]) <= float(row["p99_us"]) <= float(row["p99_us_high"])
        assert row["classifier.compute_infer_us"] == "2000.0"


def test_the_markdown_is_one_table(make_sweep: MakeSweep) -> None:
    lines = [line for line in render_report(make_sweep(), "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert len({line.count("|") for line in lines}) == 1


def test_the_json_is_the_document_and_its_points(make_sweep: MakeSweep) -> None:
    document = json.loads(render_report(make_sweep(), "json"))
    assert document["schema"] == "tritonsmith.sweep/5"
    assert [point["load"]["value"] for point in document["points"]] == [1, 8, 100]
    assert document["points"][0]["throughput_per_s"]["interval"]["coverage"] == 0.9375


def test_the_terminal_table_has_a_spread_for_every_number(make_sweep: MakeSweep) -> None:
    text = table_text(make_sweep())
    rows = [line for line in text.splitlines() if line.startswith(("concurrency", "100 requests"))]
    assert len(rows) == 6  # a second table tells where requests wait
    assert all(row.count(" to ") == 3 for row in rows[:3])
    assert "94% interval" in text


def test_a_doubtful_p99_has_an_asterisk(make_sweep: MakeSweep, change_measurements: Callable[..., Sweep]) -> None:
    sweep = make_sweep([Load("concurrency", 1)])
    few = replace(sweep.cells[0].measurement.latency, requests=500)
    text = table_text(change_measurements(sweep, lambda cell: True, latency=few))
    assert ")*" in text
    assert "fewer than 1,000 requests" in text


def test_what_was_changed_to_serve_here_is_in_every_report(make_sweep: MakeSweep) -> None:
    changes = ("classifier: instance_group[0] KIND_GPU -> KIND_CPU (no GPU here)", "a response cache was opened")
    sweep = replace(make_sweep(), notices=changes)
    assert f"measured with: {sweep.notices[0]}" in table_text(sweep)
    [said] = re.findall("<dt>Measured with</dt><dd>(.*?)</dd>", render_report(sweep, "html"))
    assert html.unescape(said) == "; ".join(changes)
    assert sweep.notices[0] in render_report(sweep, "markdown")
    assert json.loads(render_report(sweep, "json"))["notices"] == list(sweep.notices)


def test_what_came_from_the_cache_is_said_wherever_a_person_looks(
    make_sweep: MakeSweep, change_measurements: Callable[..., Sweep]
) -> None:
    caches = (CacheUse("classifier", 1900, 100),)
    sweep = change_measurements(make_sweep(), lambda cell: cell.measurement.load.value == 8, caches=caches)
    remark = "95% of the requests to classifier were answered from the response cache"
    assert table_text(sweep).count(remark) == 1
    notice = render_report(sweep, "html").partition('role="note"')[2].partition("</div>")[0]
    assert f"8 in flight: {remark}" in notice
    assert remark in render_report(sweep, "markdown")
    rows = list(csv.DictReader(io.StringIO(render_report(sweep, "csv"))))
    assert [row["classifier.cache_hits"] for row in rows] == ["", "9500", ""]


def test_the_page_is_written_into_a_folder_that_is_made(make_sweep: MakeSweep, tmp_path: Path) -> None:
    assert write_report(make_sweep(), tmp_path / "new" / "a.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.4213, "0.421"), (9.996, "10.0"), (36.63, "36.6"), (999.7, "1,000"), (1847.3, "1,847")],
)
def test_numbers_have_three_significant_digits_at_least(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(("us", "text"), [(87.2, "87 µs"), (3712, "3.71 ms"), (1_200_000, "1.20 s")])
def test_durations_have_the_unit_that_suits_them(us: float, text: str) -> None:
    assert duration(us) == text


@pytest.mark.parametrize(
    ("repeats", "said"),
    [
        (3, "the range of the repeats, too few for an interval (it holds the true median with 75% only)"),
        (4, "the range of the repeats, too few for an interval (it holds the true median with 88% only)"),
        (5, "the 94% interval of the median"),
        (9, "the 96% interval of the median"),
    ],
)
def test_the_range_of_few_repeats_is_not_called_an_interval(make_sweep: MakeSweep, repeats: int, said: str) -> None:
    sweep = make_sweep(repeats=repeats)
    assert f"in brackets {said}." in table_text(sweep)
    assert f"below each {said}." in render_report(sweep, "html")
