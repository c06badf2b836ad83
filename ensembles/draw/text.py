"""A drawing for the terminal: the boxes below one another as the data reaches them, the tensors in lanes at the left.

What leaves a box opens a lane, and the lane ends at the last box that reads it:

    ┌───┤ pixels  FP32 [-1,8,8] │
    │   └───────────────────────┘
    └──▶│ pixels
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tritonsmith.ensembles.draw.core import Box, Drawing, Edge, Graph, Mark, Tensor, in_words, shorten, told
from tritonsmith.ensembles.draw.lettering import columns, wrap
from tritonsmith.generator.findings import Severity

_LEAST_BOX = 44
_SIGNS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.NOTE: "·"}
_ASCII = str.maketrans(
    {"┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┼": "+", "│": "|", "─": "-", "┆": ":", "┄": "."}
    | {"▶": ">", "×": "x", "µ": "u", "…": "~", "✗": "x", "·": "-"}
)


def render_text(drawing: Drawing, width: int, *, is_ascii: bool = False) -> str:
    """Return the drawing in lines of at most `width` columns; in ASCII where box characters are missing."""
    parts = [list(_pipeline(graph, width)) for graph in drawing.graphs]
    parts += [_findings(drawing.marks, width)] if drawing.marks else []
    whole = "\n".join("\n".join([*part, ""]) for part in parts)
    return whole.translate(_ASCII) if is_ascii else whole


def _pipeline(graph: Graph, width: int) -> Iterator[str]:
    if graph.name:
        yield from wrap(f"{graph.name}: {', '.join(graph.facts)}" if graph.facts else graph.name, width)
        yield from _findings(graph.marks, width)
        yield ""
    yield from _boxes(graph, width)


def _boxes(graph: Graph, width: int) -> Iterator[str]:
    """Yield the boxes of a graph with the lanes beside them."""
    lanes = _Lanes(graph, most=max(0, (width - _LEAST_BOX) // 2))
    room = width - lanes.width - 4
    bodies = [list(_rows(box, graph, lanes, room)) for box in graph.boxes]
    inner = min(room, max((columns(row.text) for rows in bodies for row in rows), default=0))
    inner = max([inner, *(columns(shorten(box.name, room - 4)) + 2 for box in graph.boxes)])
    for box, rows in zip(graph.boxes, bodies, strict=True):
        title = f" {shorten(box.name, room - 4)} "
        yield f"{lanes.row()}┌─{title}{'─' * (inner + 1 - columns(title))}┐"
        for row in rows:
            side = "┤" if not row.is_arrow and lanes.has(row.edge) else "│"
            yield f"{lanes.row(row.edge, is_arrow=row.is_arrow)}{side} {row.text}{' ' * (inner - columns(row.text))} │"
        yield f"{lanes.row()}└{'─' * (inner + 2)}┘"


@dataclass(frozen=True)
class _Row:
    """A line in a box; where a tensor comes or goes, with the edge that it belongs to."""

    text: str
    edge: int | None = None
    is_arrow: bool = False


def _rows(box: Box, graph: Graph, lanes: _Lanes, room: int) -> Iterator[_Row]:
    """Yield a box's lines: what comes in, the model, its findings, what goes out."""
    names = {one.key: one.name for one in graph.boxes}
    for index, edge in enumerate(graph.edges):
        if box.key in edge.targets:
            far = "" if lanes.has(index) else f" (from {names[edge.source]})"
            lines = wrap(_arriving(edge) + far, room)
            yield from (_Row(line, index if place == 0 else None, place == 0) for place, line in enumerate(lines))
    facts = [*box.facts, *(["decoupled: any number of responses"] if box.is_decoupled and box.inner is None else [])]
    yield from (_Row(line) for fact in facts for line in wrap(fact, room))
    marks = (*box.marks, *(box.inner.marks if box.inner else ()))
    yield from (_Row(line) for line in _findings(marks, room))
    if box.inner is not None:
        yield from (_Row(line) for line in _boxes(box.inner, room))
    for side, tensors in (("in ", box.inputs), ("out", box.outputs)):
        for place, line in enumerate(_leaving(tensors, room - 4)):
            yield _Row(f"{side if place == 0 else '   '} {line}")
    for index, edge in enumerate(graph.edges):
        if edge.source == box.key:
            yield from _outgoing(edge, index, lanes, names, room)


def _outgoing(edge: Edge, index: int, lanes: _Lanes, names: dict[str, str], room: int) -> Iterator[_Row]:
    targets = ", ".join(names[target] for target in edge.targets)
    if edge.kind == "call":
        lines = wrap(f"calls {targets} (BLS)", room)
    else:
        lines = list(_leaving(edge.tensors, room))
        lines = ["stream, any number per request:", *lines] if edge.is_stream else lines
        lines += [] if lanes.has(index) else wrap(f"(to {targets})", room)
    yield from (_Row(line, index if place == 0 else None) for place, line in enumerate(lines))


def _arriving(edge: Edge) -> str:
    if edge.kind == "call":
        return "called"
    return ", ".join(f"{one.name} as {one.read_as}" if one.read_as else one.name for one in edge.tensors)


def _leaving(tensors: Sequence[Tensor], room: int) -> Iterator[str]:
    """Yield a line for each tensor, types below one another, its findings below it."""
    limit = max(8, room - 24)
    column = max((columns(shorten(one.name, limit)) for one in tensors), default=0)
    for tensor in tensors:
        name = shorten(tensor.name, limit)
        yield f"{name}{' ' * (column - columns(name))}  {shorten(tensor.type, max(8, room - column - 2))}"
        yield from _findings(tensor.marks, room)


def _findings(marks: Iterable[Mark], width: int) -> list[str]:
    lines = []
    for mark, more in told(marks):
        first, *rest = wrap(f"{_SIGNS[mark.severity]} {in_words(mark, more)}", width - 2)
        lines += [first, *(f"  {line}" for line in rest)]
    return lines


@dataclass
class _Lanes:
    """The lanes beside the boxes: each edge has one from the first box that it touches to the last, if there is room.

    `row` is called once for every line, from top to bottom.
    """

    graph: Graph
    most: int
    columns: dict[int, int] = field(default_factory=dict)  # edge -> lane, 0 is the one next to the boxes
    left: dict[int, int] = field(default_factory=dict)  # edge -> at how many rows it is still to be met
    is_open: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        places = {box.key: place for place, box in enumerate(self.graph.boxes)}
        spans = []
        for index, edge in enumerate(self.graph.edges):
            touched = [places[edge.source], *(places[target] for target in edge.targets)]
            spans.append((min(touched), max(touched), index, len(touched)))
        ends: list[int] = []  # of each lane: the last box of the edge that has it
        for first, last, index, count in sorted(spans):
            free = next((lane for lane, end in enumerate(ends) if end < first), len(ends))
            if free == self.most:
                continue
            ends[free : free + 1] = [last]
            self.columns[index], self.left[index], self.is_open[index] = free, count, False

    @property
    def width(self) -> int:
        """Return how many columns the lanes take."""
        return 2 * (max(self.columns.values(), default=-1) + 1) + 2 if self.columns else 0

    def has(self, edge: int | None) -> bool:
        """Whether an edge has a lane."""
        return edge in self.columns

    def row(self, edge: int | None = None, *, is_arrow: bool = False) -> str:
        """Return what stands beside a line, at which an edge may begin, be joined, or end."""
        count = max(self.columns.values(), default=-1) + 1
        cells = [" "] * count
        for other, lane in self.columns.items():
            if self.is_open[other]:
                cells[lane] = "┆" if self.graph.edges[other].kind == "call" else "│"
        fill, head = " ", "  "
        if edge is None or edge not in self.columns:
            return "".join(f"{cell} " for cell in reversed(cells)) + (head if count else "")
        lane, dash = self.columns[edge], "┄" if self.graph.edges[edge].kind == "call" else "─"
        for nearer in range(lane):
            cells[nearer] = "┼" if cells[nearer] != " " else dash
        cells[lane] = self._joint(edge)
        fill, head = dash, f"{dash}{'▶' if is_arrow else dash}"
        drawn = "".join(f"{cells[one]}{fill if one <= lane else ' '}" for one in range(count - 1, -1, -1))
        return drawn + head

    def _joint(self, edge: int) -> str:
        was_open = self.is_open[edge]
        self.left[edge] -= 1
        self.is_open[edge] = self.left[edge] > 0
        if was_open:
            return "├" if self.is_open[edge] else "└"
        return "┌" if self.is_open[edge] else "─"
