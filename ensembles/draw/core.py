"""What a drawing shows, as plain data: boxes, the tensors between them, and the findings where they belong.

Every string here is printable: names come from files that anybody may have written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tritonsmith.generator.findings import Severity

# request and response: the ends of an ensemble; model: a step, or a model alone; ensemble: one with what is in it;
# missing: named, but not in the repository; nothing: the open end of a tensor that nobody writes, or nobody reads
BoxKind = Literal["request", "response", "model", "ensemble", "missing", "nothing"]
EdgeKind = Literal["tensors", "call"]
_TOLD = {Severity.ERROR: 1000, Severity.WARNING: 5, Severity.NOTE: 1}


@dataclass(frozen=True)
class Mark:
    """A finding, as it is shown where it belongs."""

    severity: Severity
    code: str
    message: str
    place: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Tensor:
    """A tensor under the name that the ensemble knows it by; `type` has the batch axis, e.g. `FP32 [-1,8,8]`.

    `made_as` and `read_as` are what the models at its two ends call it, where they call it otherwise.
    """

    name: str
    type: str
    made_as: str = ""
    read_as: str = ""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Edge:
    """Tensors that go from one box to the same others, or a call without any (BLS).

    `is_stream` says that they come any number of times for one request: a decoupled model is before them.
    """

    source: str
    targets: tuple[str, ...]
    tensors: tuple[Tensor, ...] = ()
    kind: EdgeKind = "tensors"
    is_stream: bool = False


@dataclass(frozen=True)
class Box:
    """A model as it will run, or an end of the pipeline; `key` is its name within the graph.

    `facts` are lines: backend and version, batching, instances. `inputs` and `outputs` are only those of a model that
    stands alone, without edges. `inner` is what a nested ensemble holds.
    """

    key: str
    kind: BoxKind
    name: str
    facts: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    is_decoupled: bool = False
    marks: tuple[Mark, ...] = ()
    inner: Graph | None = None


@dataclass(frozen=True)
class Graph:
    """One pipeline: a model that clients call, and all that happens then. Boxes come before those that need them."""

    name: str
    facts: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    edges: tuple[Edge, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """The pipelines of a repository; `marks` are findings about none of its models."""

    name: str
    graphs: tuple[Graph, ...]
    marks: tuple[Mark, ...] = ()


def plain(text: str) -> str:
    """Return text on one line without anything that a terminal or XML takes for more than a character."""
    one_line = " ".join(text.split()) if not text.isprintable() else text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in one_line)


def shorten(text: str, limit: int) -> str:
    """Return text of at most `limit` characters, its middle left out: ends tell names apart."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def all_marks(graph: Graph) -> Iterator[Mark]:
    """Yield every finding of a graph, from top to bottom; one that is shown twice comes twice."""
    yield from graph.marks
    for box in graph.boxes:
        yield from box.marks
        for tensor in (*box.inputs, *box.outputs):
            yield from tensor.marks
        if box.inner is not None:
            yield from all_marks(box.inner)
    for edge in graph.edges:
        for tensor in edge.tensors:
            yield from tensor.marks


def legend_of(drawing: Drawing) -> list[tuple[Mark, int]]:
    """Return the findings to be told in words, and how many more are like each."""
    return told([*drawing.marks, *(mark for graph in drawing.graphs for mark in all_marks(graph))])


def told(marks: Iterable[Mark]) -> list[tuple[Mark, int]]:
    """Return the findings to be told in words, the worst first, and how many more are like each.

    Errors are told one by one; warnings of one code a few times, notes once.
    """
    found: list[tuple[Mark, int]] = []
    for (severity, _), ones in by_code(marks):
        words = ones[: _TOLD[severity]]
        found += [(mark, 0) for mark in words[:-1]]
        found.append((words[-1], len(ones) - len(words)))
    return found


def by_code(marks: Iterable[Mark]) -> list[tuple[tuple[Severity, str], list[Mark]]]:
    """Return findings by severity and code, the worst first, each once; one without a code goes by its severity."""
    groups: dict[tuple[Severity, str], list[Mark]] = {}
    for mark in dict.fromkeys(marks):
        groups.setdefault((mark.severity, mark.code or mark.severity.value), []).append(mark)
    return sorted(groups.items(), key=lambda group: list(Severity).index(group[0][0]))


def worst(marks: tuple[Mark, ...]) -> Severity | None:
    """Return the severity that matters most, None where nothing is wrong."""
    severities = {mark.severity for mark in marks}
    return next((severity for severity in Severity if severity in severities), None)


def marked(tensor: Tensor, marks: tuple[Mark, ...]) -> Tensor:
    """Return a tensor with further findings."""
    return replace(tensor, marks=(*tensor.marks, *marks)) if marks else tensor


def in_words(mark: Mark, more: int = 0) -> str:
    """Return a finding in a line: code, message, remedy, place, and how many more are like it."""
    code = f"{mark.code} " if mark.code else ""
    place = f" ({mark.place})" if mark.place else ""
    remedy = f"; {mark.remedy}" if mark.remedy else ""
    return f"{code}{mark.message}{remedy}{place}{f' (and {more} more like it)' if more else ''}"
