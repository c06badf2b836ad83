"""A drawing as SVG: one file that stands alone, light or dark as the reader's desktop, or a piece of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritonsmith.ensembles.draw.card import NAME_ROW, SIDE, Piece, Timing, card, chips, heading, label
from tritonsmith.ensembles.draw.core import Box, Drawing, Edge, Graph, Mark, in_words, legend_of, shorten, worst
from tritonsmith.ensembles.draw.layout import Line, Link, Rect, lay_out
from tritonsmith.ensembles.draw.lettering import sans_width, wrap
from tritonsmith.ensembles.draw.markup import element, number, text, tooltip
from tritonsmith.generator.findings import Severity

MARGIN, PADDING, ARROW = 28.0, 18.0, 14.0
SHEET = 1104.0  # what stands alone is set in rows of this width
LEGEND_COLUMNS = 110
NO_TIMINGS: Mapping[str, Timing] = {}


def render_svg(drawing: Drawing) -> str:
    """Return the drawing as a file of its own, with all findings in words below it."""
    pieces = [_titled(graph) for graph in drawing.graphs]
    told = legend_of(drawing)
    pieces += [_legend(told)] if told else []
    return _sheet(pieces, drawing.name, _read("palette.css") + style_sheet()) + "\n"


def render_graph(graph: Graph, timings: Mapping[str, Timing] = NO_TIMINGS) -> str:
    """Return one pipeline for a page that brings `style_sheet()` and the colours; models may have times."""
    return _sheet([_pipeline(graph, timings)], f"The pipeline {graph.name}", "")


def style_sheet() -> str:
    """Return the style of the drawings, without the colours, which the page around them brings."""
    return _read("style.css")


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _sheet(pieces: Sequence[Piece], name: str, style: str) -> str:
    margin = MARGIN if style else 4.0
    width = max([piece.width for piece in pieces], default=0.0) + 2 * margin
    y, parts = margin, []
    for piece in pieces:
        parts.append(_moved(piece.markup, margin, y))
        y += piece.height + 2 * MARGIN
    height = y - 2 * MARGIN + margin if pieces else 2 * margin
    description = "Boxes are models, lines the tensors between them, with type and shape."
    return element(
        "svg",
        tooltip(name),
        element("desc", description),
        f"<style>{style}</style>" if style else "",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=name,
        class_="pipeline",
    )


def _titled(graph: Graph) -> Piece:
    """Return a pipeline under its name and what the ensemble itself says."""
    body, name = _pipeline(graph, NO_TIMINGS), shorten(graph.name, 60)
    head = text(name, 0.0, 16.0, class_="title")
    facts = ", ".join(graph.facts)
    head += text(facts, sans_width(name, 20) + 12, 16.0) if facts else ""
    codes = chips(graph.marks)
    top = 40.0 + (codes.height + 8 if graph.marks else 0.0)
    width = max(body.width, sans_width(name, 20) + sans_width(facts, 12.5) + 16, codes.width)
    return Piece(width, top + body.height, head + _moved(codes.markup, 0.0, 28.0) + _moved(body.markup, 0.0, top))


def _pipeline(graph: Graph, timings: Mapping[str, Timing]) -> Piece:
    """Return the boxes, lines and labels of a graph."""
    least = {box.key: ARROW * max(_lines(graph, box)) + 24 for box in graph.boxes}
    cards = {box.key: _box(box, timings, least[box.key]) for box in graph.boxes}
    if not graph.edges:
        return _rows(list(cards.values()))
    places = {key: index for index, key in enumerate(cards)}
    labels = [label(edge) for edge in graph.edges]
    links = [
        Link(places[edge.source], tuple(places[target] for target in edge.targets), (piece.width, piece.height))
        for edge, piece in zip(graph.edges, labels, strict=True)
    ]
    layout = lay_out([(piece.width, piece.height) for piece in cards.values()], links)
    wires = "".join(_wire(line, graph.edges[line.link]) for line in layout.lines)
    drawn = _placed(layout.labels, labels) + _placed(layout.boxes, cards.values())
    return Piece(layout.width, layout.height, wires + drawn)


def _rows(pieces: Sequence[Piece]) -> Piece:
    """Return pieces that nothing joins, side by side in rows."""
    x = y = row = width = 0.0
    parts = []
    for piece in pieces:
        if x and x + piece.width > SHEET:
            x, y, row = 0.0, y + row + MARGIN, 0.0
        parts.append(_moved(piece.markup, x, y))
        width, row = max(width, x + piece.width), max(row, piece.height)
        x += piece.width + MARGIN
    return Piece(width, y + row, "".join(parts))


def _lines(graph: Graph, box: Box) -> tuple[int, int]:
    """Return how many lines lead to a box, and how many away."""
    return sum(box.key in edge.targets for edge in graph.edges), sum(edge.source == box.key for edge in graph.edges)


def _box(box: Box, timings: Mapping[str, Timing], least: float) -> Piece:
    """Return a model's box, or the frame of a nested ensemble around what is in it."""
    if box.inner is None:
        slowest_us = max((timing.total_us for timing in timings.values()), default=0.0)
        return card(box, timings.get(box.name), slowest_us, least=least)
    inner, head, marks = _pipeline(box.inner, timings), heading(box), (*box.marks, *box.inner.marks)
    codes = chips(marks)
    top = head.height + codes.height + 12
    width = max(head.width, inner.width + 2 * PADDING, codes.width + 2 * SIDE)
    height, severity = top + inner.height + PADDING, worst(marks)
    shape = f"group {severity.value}" if severity is not None else "group"
    frame = element("rect", x=0, y=0, width=width, height=height, rx=10, class_=shape)
    body = _moved(inner.markup, (width - inner.width) / 2, top)
    return Piece(width, height, frame + head.markup + _moved(codes.markup, SIDE, head.height) + body)


def _wire(line: Line, edge: Edge) -> str:
    """Return a line with its arrow; bends are curves that leave and arrive upright."""
    kind = "call" if edge.kind == "call" else "stream" if edge.is_stream else ""
    severity = worst(tuple(mark for tensor in edge.tensors for mark in tensor.marks))
    kind = "error" if severity is Severity.ERROR else kind
    (x1, y1), (_, y2), (x2, y3), (_, y4) = line.points
    half = (y2 + y3) / 2
    steps = [f"M{_at(x1, y1)} L{_at(x1, y2)} C{_at(x1, half)} {_at(x2, half)} {_at(x2, y3)}"]
    steps += [f" L{_at(x2, y4)}"] if y4 > y3 else []
    parts = [element("path", d="".join(steps), class_=f"wire {kind}".rstrip())]
    if line.is_arrow_at_end:
        parts.append(_arrow(x2, y4, -1, kind))
    if line.is_arrow_at_start:
        parts.append(_arrow(x1, y1, 1, kind))
    return "".join(parts)


def _arrow(x: float, y: float, back: int, kind: str) -> str:
    """Return an arrow whose tip is at a place; `back` is 1 where it points up."""
    d = f"M{_at(x, y)} L{_at(x - 4.5, y + 9.0 * back)} L{_at(x + 4.5, y + 9.0 * back)} Z"
    return element("path", d=d, class_=f"head {kind}".rstrip())


def _legend(told: Sequence[tuple[Mark, int]]) -> Piece:
    """Return the findings in words: what the codes in the drawing stand for."""
    y, parts = 22.0, [text("Findings", 0.0, 14.0, class_="name")]
    indent = max(chips([mark]).width for mark, _ in told) + 6
    for mark, more in told:
        parts.append(_moved(chips([mark]).markup, 0.0, y + 3))
        for words in wrap(in_words(replace(mark, code=""), more), LEGEND_COLUMNS):
            parts.append(text(words, indent, y + 15))
            y += NAME_ROW - 2
        y += 5
    return Piece(indent + LEGEND_COLUMNS * 7.0, y, "".join(parts))


def _placed(rects: Iterable[Rect], pieces: Iterable[Piece]) -> str:
    return "".join(_moved(piece.markup, rect.x, rect.y) for rect, piece in zip(rects, pieces, strict=True))


def _moved(markup: str, x: float, y: float) -> str:
    return element("g", markup, transform=f"translate({number(x)} {number(y)})") if markup else ""


def _at(x: float, y: float) -> str:
    return f"{number(x)},{number(y)}"
