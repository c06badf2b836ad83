from collections.abc import Callable
from dataclasses import replace

import pytest

from tritonsmith.perf.document import Sweep
from tritonsmith.perf.report import render_report

MakeSweep = Callable[..., Sweep]


def section(page: str) -> str:
    return page.partition('<section id="pipeline">')[2].partition("</section>")[0]


def test_the_page_draws_the_pipeline_with_each_steps_time(make_drawn_sweep: MakeSweep) -> None:
    drawn = section(render_report(make_drawn_sweep(), "html"))
    assert "with 8 in flight" in drawn
    assert drawn.count('class="track"') == 2
    assert "queue 100 µs, compute 2.06 ms" in drawn  # preprocessing
    assert "queue 200 µs, compute 2.06 ms" in drawn  # classifier, in batches of two


def test_every_variant_is_drawn_as_it_ran(make_drawn_sweep: MakeSweep) -> None:
    drawn = section(render_report(make_drawn_sweep(counts=(1, 2)), "html"))
    assert [count for count in ("1 × KIND_CPU", "2 × KIND_CPU") if f">{count}<" in drawn] == [
        "1 × KIND_CPU", "2 × KIND_CPU",
    ]  # fmt: skip


def test_of_many_variants_the_best_is_drawn(make_drawn_sweep: MakeSweep) -> None:
    drawn = section(render_report(make_drawn_sweep(counts=(1, 2, 3, 4)), "html"))
    assert drawn.count("<svg") == 1
    assert ">4 × KIND_CPU<" in drawn


def test_a_sweep_without_a_pipeline_has_no_such_section(make_sweep: MakeSweep) -> None:
    assert section(render_report(make_sweep(), "html")) == ""


@pytest.mark.parametrize("name", ["</svg><script>alert(1)</script>", "<b>&"])
def test_a_models_name_stays_text(make_drawn_sweep: MakeSweep, name: str) -> None:
    sweep = make_drawn_sweep()
    graph = sweep.pipelines[""]
    boxes = tuple(replace(box, name=name) for box in graph.boxes)
    drawn = section(render_report(replace(sweep, pipelines={"": replace(graph, boxes=boxes)}), "html"))
    assert name not in drawn
    assert "&lt;" in drawn
