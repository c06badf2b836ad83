"""The pieces of a drawing that hold text: a model's box, the label of a line, the codes of findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tritonsmith.ensembles.draw.core import Box, Edge, Mark, Tensor, by_code, shorten, worst
from tritonsmith.ensembles.draw.lettering import mono_width, sans_width, wrap
from tritonsmith.ensembles.draw.markup import element, text, tooltip

SIDE, NAME_ROW, ROW, FACT_COLUMNS = 14.0, 20.0, 17.0, 46
NAME_LIMIT, TENSOR_LIMIT, TYPE_LIMIT, TENSORS_IN_BOX, CHIP_LIMIT = 34, 30, 30, 12, 4
NAME_SIZE, FACT_SIZE, MONO_SIZE, CODE_SIZE = 14.5, 12.5, 11.5, 12.0
CHIP_HEIGHT = 17.0
LEAST_WIDTH, LEAST_END = 168.0, 96.0
WORD_ROW = {"stream": "stream: any number per request", "call": "calls (BLS)"}


@dataclass(frozen=True)
class Piece:
    """A part of a drawing, its corner at the origin."""

    width: float
    height: float
    markup: str


@dataclass(frozen=True)
class Timing:
    """What a model's requests took on average, and the same in words."""

    queue_us: float
    compute_us: float
    words: str

    @property
    def total_us(self) -> float:
        """The whole time."""
        return self.queue_us + self.compute_us


def card(box: Box, timing: Timing | None = None, slowest_us: float = 0.0, *, least: float = 0.0) -> Piece:
    """Return a box, at least so wide; where it was measured, with its time as a bar on the scale of the slowest."""
    if box.kind in ("request", "response", "nothing"):
        return _end(box, least)
    head = heading(box)
    rows = [*_tensor_rows("in", box.inputs), *_tensor_rows("out", box.outputs)]
    width, y, parts = max(LEAST_WIDTH, least, head.width), head.height, [head.markup]
    width = max([width, *(SIDE * 2 + row.width for row in rows)])
    for row in rows:
        parts.append(element("g", row.markup, transform=f"translate({SIDE:g} {y:g})"))
        y += row.height
    if timing is not None:
        width = max(width, sans_width(timing.words, FACT_SIZE) + 2 * SIDE)
        parts += [text(timing.words, SIDE, y + 12, class_="tensor"), _bar(timing, slowest_us, y + 19)]
        y += ROW + 16
    codes = chips(box.marks)
    if box.marks:
        width = max(width, codes.width + 2 * SIDE)
        parts.append(element("g", codes.markup, transform=f"translate({SIDE:g} {y + 2:g})"))
        y += codes.height + 6
    shape = "missing" if box.kind == "missing" else f"box {_severity(box.marks)}".rstrip()
    frame = element("rect", x=0, y=0, width=width, height=y + 8, rx=8, class_=shape)
    return Piece(width, y + 8, element("g", tooltip(_whole(box)), frame, *parts))


def heading(box: Box) -> Piece:
    """Return a box's name and facts, without a frame."""
    name = shorten(box.name, NAME_LIMIT)
    lines = [line for fact in box.facts for line in wrap(fact, FACT_COLUMNS)]
    width = max([sans_width(name, NAME_SIZE), *(sans_width(line, FACT_SIZE) for line in lines)])
    parts = [text(name, SIDE, 8 + NAME_ROW * 0.7, class_="name")]
    y = 8 + NAME_ROW
    for line in lines:
        parts.append(text(line, SIDE, y + 12))
        y += ROW
    if box.is_decoupled and box.inner is None:
        words = "decoupled: any number of responses"
        width = max(width, sans_width(words, FACT_SIZE) * 1.06)
        parts.append(text(words, SIDE, y + 12, class_="stream"))
        y += ROW
    return Piece(width + 2 * SIDE, y + 2, "".join(parts))


def label(edge: Edge) -> Piece:
    """Return what stands on a line: its tensors, or that it is a call."""
    kind = "call" if edge.kind == "call" else "stream" if edge.is_stream else ""
    rows = _table(edge.tensors)
    if kind:
        words = WORD_ROW[kind]
        rows.insert(0, Piece(sans_width(words, FACT_SIZE) * 1.04, ROW, text(words, 0.0, 12.0, class_=kind)))
    width, y, parts = max(row.width for row in rows), 4.0, []
    for row in rows:
        parts.append(element("g", row.markup, transform=f"translate(4 {y:g})"))
        y += row.height
    return Piece(width + 8, y + 4, "".join(parts))


def chips(marks: Sequence[Mark]) -> Piece:
    """Return the codes of findings in small frames, each with the messages as a tooltip."""
    x, parts, groups = 0.0, [], by_code(marks)
    for (severity, code), ones in groups[:CHIP_LIMIT]:
        words = code if len(ones) == 1 else f"{code} × {len(ones)}"
        width = sans_width(words, CODE_SIZE) + 12
        frame = element("rect", x=x, y=0, width=width, height=CHIP_HEIGHT, rx=8.5, class_=f"chip {severity.value}")
        inside = text(words, x + width / 2, 12.5, text_anchor="middle", class_=f"code {severity.value}")
        tips = "\n".join(f"{severity.value}: {mark.message}" for mark in ones)
        parts.append(element("g", tooltip(tips), frame, inside))
        x += width + 5
    if len(groups) > CHIP_LIMIT:
        more = f"+{len(groups) - CHIP_LIMIT}"
        tips = "\n".join(f"{mark.code} {mark.message}" for _, ones in groups[CHIP_LIMIT:] for mark in ones)
        parts.append(element("g", tooltip(tips), text(more, x + 2, 12.5)))
        x += sans_width(more, FACT_SIZE) + 6
    return Piece(x, CHIP_HEIGHT if marks else 0.0, "".join(parts))


def _end(box: Box, least: float) -> Piece:
    words = box.name
    width = max(LEAST_END, least, sans_width(words, NAME_SIZE) + 2 * SIDE)
    shape = "missing" if box.kind == "nothing" else "end"
    frame = element("rect", x=0, y=0, width=width, height=30, rx=15, class_=shape)
    return Piece(width, 30.0, frame + text(words, width / 2, 20.0, text_anchor="middle", class_="name"))


def _table(tensors: Sequence[Tensor]) -> list[Piece]:
    """Return a row for each tensor, their types below one another, the codes of findings behind them."""
    column = max((mono_width(shorten(one.name, TENSOR_LIMIT), MONO_SIZE) for one in tensors), default=0.0) + 14
    return [_row(tensor, column) for tensor in tensors]


def _row(tensor: Tensor, column: float) -> Piece:
    kind = shorten(tensor.type, TYPE_LIMIT)
    width = column + mono_width(kind, MONO_SIZE)
    parts = [
        text(shorten(tensor.name, TENSOR_LIMIT), 0.0, 12.0, class_="mono tensor"),
        text(kind, column, 12.0, class_="mono"),
    ]
    if tensor.marks:
        codes = chips(tensor.marks)
        parts.append(element("g", codes.markup, transform=f"translate({width + 8:g} -1)"))
        width += 8 + codes.width
    return Piece(width, ROW + (3 if tensor.marks else 0), element("g", tooltip(describe(tensor)), *parts))


def _tensor_rows(side: str, tensors: Sequence[Tensor]) -> list[Piece]:
    """Return the rows in the box of a model that stands alone; the last ones are counted where they are many."""
    rows = _table(tensors[:TENSORS_IN_BOX])
    lead = mono_width("out ", MONO_SIZE)
    pieces = [
        Piece(
            lead + row.width,
            row.height,
            text(side if index == 0 else "", 0.0, 12.0, class_="mono")
            + element("g", row.markup, transform=f"translate({lead:g} 0)"),
        )
        for index, row in enumerate(rows)
    ]
    if len(tensors) > TENSORS_IN_BOX:
        words = f"and {len(tensors) - TENSORS_IN_BOX} more"
        pieces.append(Piece(lead + sans_width(words, FACT_SIZE), ROW, text(words, lead, 12.0)))
    return pieces


def describe(tensor: Tensor) -> str:
    """Return a tensor in words, with the names that the models at its ends have for it."""
    parts = [f"{tensor.name}: {tensor.type}"]
    parts += [f"written as {tensor.made_as}"] if tensor.made_as else []
    parts += [f"read as {tensor.read_as}"] if tensor.read_as else []
    return "; ".join([*parts, *(f"{mark.code} {mark.message}" for mark in tensor.marks)])


def _bar(timing: Timing, slowest_us: float, y: float) -> str:
    """Return the time as a bar; all are of one length, whatever the box, so that they can be compared."""
    width = LEAST_WIDTH - 2 * SIDE
    scale = width / slowest_us if slowest_us > 0 else 0.0
    queue, compute = timing.queue_us * scale, timing.compute_us * scale
    return "".join(
        [
            element("rect", x=SIDE, y=y, width=width, height=6, rx=3, class_="track"),
            element("rect", x=SIDE, y=y, width=queue, height=6, class_="queue"),
            element("rect", x=SIDE + queue, y=y, width=compute, height=6, class_="compute"),
        ]
    )


def _severity(marks: Iterable[Mark]) -> str:
    found = worst(tuple(marks))
    return found.value if found is not None else ""


def _whole(box: Box) -> str:
    decoupled = ("decoupled",) if box.is_decoupled else ()
    return "\n".join([box.name, *box.facts, *decoupled, *(f"{mark.code} {mark.message}" for mark in box.marks)])
