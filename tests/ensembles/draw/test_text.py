from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ensembles.draw.configs import MODEL, chain, ensemble, model
from tritonsmith.ensembles.draw.core import Box, Drawing, Edge, Graph, Tensor
from tritonsmith.ensembles.draw.lettering import columns, wrap
from tritonsmith.ensembles.draw.text import render_text
from tritonsmith.generator.findings import error

Draw = Callable[..., Drawing]

TWO = """\
both: ensemble, max_batch_size 8

      ┌─ request ──────────────────┐
  ┌───┤ t0  FP32 [-1,4]            │
  │   └────────────────────────────┘
  │   ┌─ a ────────────────────────┐
  └──▶│ t0 as x                    │
      │ python, latest version (1) │
      │ max_batch_size 8           │
      │ default instance group     │
┌─────┤ t1  FP32 [-1,4]            │
│     └────────────────────────────┘
│     ┌─ b ────────────────────────┐
└────▶│ t1 as x                    │
      │ python, latest version (1) │
      │ max_batch_size 8           │
      │ default instance group     │
  ┌───┤ t2  FP32 [-1,4]            │
  │   └────────────────────────────┘
  │   ┌─ response ─────────────────┐
  └──▶│ t2                         │
      └────────────────────────────┘
"""


def test_a_chain_is_drawn_from_top_to_bottom(draw: Draw) -> None:
    assert render_text(draw({"a": model(), "b": model(), "both": chain("a", "b")}), 100) == TWO


def test_a_terminal_without_box_characters_gets_ascii(draw: Draw) -> None:
    text = render_text(draw({"a": model(), "whole": chain("a")}), 80, is_ascii=True)
    assert text.isascii()
    assert "+-->| t0 as x" in text


def test_a_call_is_dashed() -> None:
    boxes = (Box("a", "model", "asks"), Box("b", "model", "answers"))
    lines = render_text(Drawing("d", (Graph("g", (), boxes, (Edge("a", ("b",), kind="call"),)),)), 80).splitlines()
    assert any(line.startswith("┌┄┄┄┤ calls answers (BLS)") for line in lines)
    assert any(line.startswith("└┄┄▶│ called") for line in lines)


def test_a_nested_ensemble_is_a_box_of_boxes(draw: Draw) -> None:
    inner = ensemble(["x"], ["y"], ("a", {"x": "x"}, {"y": "y"}))
    text = render_text(draw({"a": model(), "inner": inner, "outer": chain("inner")}), 100)
    assert any(line.strip("│ ").startswith("┌─ request") and line.lstrip(" │")[0] == "┌" for line in text.splitlines())
    assert text.count("─ request ") == 2


def test_a_finding_stands_in_its_box(draw: Draw) -> None:
    finding = replace(error("it is wrong", remedy="mend it"), model="a", key="a", code="TS999")
    text = render_text(draw({"a": model(), "whole": chain("a")}, [finding]), 80)
    assert "│ ✗ TS999 it is wrong; mend it" in text


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_terminal(draw: Draw, width: int) -> None:
    long = [f"a_tensor_with_a_long_name_that_says_what_it_is_{index}" for index in range(9)]
    outputs = model(["x"], long)
    steps = [("a", {"x": "in"}, {name: name for name in long}), ("b", {name: name for name in long}, {"y": "out"})]
    finding = replace(error("x" * 300), model="a", key="a", code="TS999")
    configs = {"a": outputs, "b": model(long), "whole": ensemble(["in"], ["out"], *steps)}
    text = render_text(draw(configs, [finding]), width)
    assert max(map(columns, text.splitlines())) <= width


def test_lanes_that_find_no_room_are_told_in_words() -> None:
    names = [f"step{index}" for index in range(40)]
    boxes = tuple(Box(name, "model", name) for name in [*names, "join"])
    edges = tuple(Edge(name, ("join",), (Tensor(f"t_{name}", "FP32 [1]"),)) for name in names)
    text = render_text(Drawing("d", (Graph("g", (), boxes, edges),)), 80)
    assert max(map(columns, text.splitlines())) <= 80
    assert "(to join)" in text
    assert "(from step39)" in text


def test_a_drawing_ends_its_lanes(draw: Draw) -> None:
    decoupled = model(fields=f"{MODEL} model_transaction_policy {{ decoupled: true }}")
    text = render_text(draw({"a": decoupled, "whole": chain("a")}), 80)
    assert text.count("┌─") >= text.count("▶")
    assert "stream, any number per request:" in text
    assert text.rstrip().endswith("┘")


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("abcdefgh ij", 4, ["abcd", "efgh", "ij"]),
        ("ab abcdefgh", 4, ["ab", "abcd", "efgh"]),
        ("模型模型", 4, ["模型", "模型"]),
        ("", 4, [""]),
    ],
)
def test_text_wraps_by_columns(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width) == lines
