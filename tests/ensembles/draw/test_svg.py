import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ensembles.draw.configs import chain, model
from tritonsmith.ensembles.draw.card import Timing
from tritonsmith.ensembles.draw.core import Drawing
from tritonsmith.ensembles.draw.svg import render_graph, render_svg
from tritonsmith.generator.findings import Finding, Place, error, note

Draw = Callable[..., Drawing]
SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert("1")</script>&\x01'


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(svg).iter(f"{SVG}text")]


def about(key: str, finding: Finding, code: str = "TS999") -> Finding:
    return replace(finding, key=key, model=key.partition(".")[0], code=code)


def test_a_drawing_shows_models_tensors_and_types(draw: Draw) -> None:
    shown = texts(render_svg(draw({"a": model(), "b": model(), "both": chain("a", "b")})))
    assert {"both", "request", "a", "b", "response", "t0", "t1", "t2", "FP32 [-1,4]"} <= set(shown)
    assert {"python, latest version (1)", "max_batch_size 8", "default instance group"} <= set(shown)


def test_a_finding_has_its_code_in_the_box_and_its_words_below(draw: Draw) -> None:
    findings = [about("a", error("it is wrong", Place("/m/a/config.pbtxt", 2), remedy="mend it"))]
    svg = render_svg(draw({"a": model(), "whole": chain("a")}, findings))
    assert texts(svg).count("TS999") == 2
    assert any("it is wrong; mend it (a/config.pbtxt:2)" in line for line in texts(svg))
    assert 'class="box error"' in svg


def test_many_findings_of_a_kind_are_counted(draw: Draw) -> None:
    findings = [about("a", note(f"note {index}")) for index in range(40)]
    shown = texts(render_svg(draw({"a": model(), "whole": chain("a")}, findings)))
    assert "TS999 × 40" in shown
    assert any("(and 39 more like it)" in line for line in shown)


def test_names_are_text_and_never_markup(draw: Draw) -> None:
    configs = {"a": model([EVIL.replace('"', "'").replace("\x01", "\\001")]), "b": model()}
    svg = render_svg(draw({**configs, "whole": chain("a")}, [about("a", error(EVIL))]))
    root = ET.fromstring(svg)  # well-formed, whatever the names
    assert not [one for one in root.iter() if one.tag.lower().endswith("script")]
    assert "\x01" not in svg


def test_a_long_name_is_short_in_the_box_and_whole_in_its_tooltip(draw: Draw) -> None:
    name = "a_model_with_a_name_that_goes_on_and_on_for_ever_and_a_day"
    svg = render_svg(draw({name: model()}))
    assert name not in texts(svg)
    assert any((one.text or "").startswith(name) for one in ET.fromstring(svg).iter(f"{SVG}title"))


def test_a_drawing_stands_alone(draw: Draw) -> None:
    svg = render_svg(draw({"a": model(), "whole": chain("a")}))
    assert "prefers-color-scheme: dark" in svg
    used = set(re.findall(r"var\((--[\w-]+)\)", svg))
    assert used <= set(re.findall(r"(--[\w-]+):", svg))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", svg)


def test_times_stand_in_the_boxes_of_their_models(draw: Draw) -> None:
    (graph,) = draw({"a": model(), "b": model(), "both": chain("a", "b")}).graphs
    svg = render_graph(
        graph, {"a": Timing(100.0, 300.0, "queue 100 µs, compute 300 µs"), "b": Timing(0, 200.0, "quick")}
    )
    assert {"queue 100 µs, compute 300 µs", "quick"} <= set(texts(svg))
    widths = {
        one.get("class"): float(one.get("width", "0")) for one in ET.fromstring(svg).iter(f"{SVG}rect")
        if one.get("class") in ("track", "compute")
    }  # fmt: skip
    assert widths["compute"] == pytest.approx(widths["track"] / 2, abs=0.01)  # of b: half as long as the slowest
    assert "<style>" not in svg


def test_the_same_bytes_come_out_each_time(draw: Draw) -> None:
    drawing = draw({"a": model(), "b": model(), "both": chain("a", "b")})
    assert render_svg(drawing) == render_svg(drawing)
