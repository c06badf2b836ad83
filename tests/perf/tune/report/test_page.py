"""The page of a tuning."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from tritonsmith.perf.tune.core import Found
from tritonsmith.perf.tune.document import Tuning
from tritonsmith.perf.tune.report.drawings import comparisons, heat_strip, pairs_plot, scatter, short_names
from tritonsmith.perf.tune.report.page import render_page, write_page

MakeTuning = Callable[..., Tuning]
SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def test_the_page_stands_alone_and_escapes_what_servers_say(make_tuning: MakeTuning, tmp_path: Path) -> None:
    page = write_page(make_tuning(), tmp_path).read_text()
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "no &lt;memory&gt; &amp; no luck" in page
    assert "no <memory>" not in page


def test_the_page_shows_pick_tie_time_and_change(make_tuning: MakeTuning) -> None:
    page = render_page(make_tuning())
    assert "Picked: <b>classifier.instance_group.count=2</b>" in page
    assert "Tied with <b>classifier.instance_group.count=3" in page
    assert "tritonsmith.yaml has it now" in page
    assert "+    count: 2" in page
    assert "was left as it is" in render_page(make_tuning(is_written=False))


def test_the_table_has_narrow_names_and_whole_ones_as_tooltips(make_tuning: MakeTuning) -> None:
    page = render_page(make_tuning())
    assert '<td class="words" title="classifier.instance_group.count=2">1.&nbsp;classifier.count=2</td>' in page
    assert "<th>In flight</th>" in page


def test_sections_without_content_are_left_out(make_tuning: MakeTuning) -> None:
    page = render_page(make_tuning(expectations=(), confirmations=(), trials=(), change=""))
    for section in ("predicted", "pairs", "seconds", "change"):
        assert f'<section id="{section}">' not in page
    assert '<section id="configurations">' in page


def test_without_a_pick_the_page_says_which_limits_nothing_keeps(make_tuning: MakeTuning) -> None:
    page = render_page(make_tuning(pick=None, load=None, standings=(), confirmations=()))
    assert "no configuration of 0 keeps p99 &lt;= 50 ms" in page
    assert "Picked" not in page


def test_predictions_stand_beside_the_median_of_what_was_measured(make_tuning: MakeTuning) -> None:
    best, other = comparisons(make_tuning())
    assert (best.standing.fate, other.standing.fate) == ("picked", "eliminated")
    assert (best.predicted_per_s, other.predicted_p99_ms) == (1190, 25)
    assert 1210 < best.measured_per_s < 1260
    dots = list(parsed(scatter([best, other])).iter("circle"))
    assert len(dots) == 4  # of two points, throughput and p99


def test_the_strip_has_a_mark_for_every_measurement(make_tuning: MakeTuning) -> None:
    tuning = make_tuning()
    marks = [one for one in parsed(heat_strip(tuning)).iter("rect") if "fill-opacity" in one.attrib]
    assert len(marks) == len(tuning.found.trials) == 19
    feet = [one for one in parsed(heat_strip(tuning)).iter("rect") if one.get("class") == "fill s2"]
    assert len(feet) == 2  # one failed, one above the limit of p99


def test_drawings_name_configurations_by_their_place_in_the_table(make_tuning: MakeTuning) -> None:
    found: Found = make_tuning().found
    short = short_names(found)
    assert short(found.standings[1].candidate.name) == "number 2"
    assert "number 1 against number 2" in pairs_plot(found.confirmations, short)
