"""A drawing as a Mermaid flowchart, for Markdown: GitHub and GitLab draw it where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.ensembles.draw.core import Box, Drawing, Edge, Graph, Mark, Tensor, in_words, told, worst
from tritonsmith.ensembles.draw.lettering import wrap
from tritonsmith.generator.findings import Severity

# All else is written as its number: quotes, angle brackets, what Mermaid takes for Markdown or for an entity.
_UNSAFE = re.compile(r"[^\w .,:/+=()\[\]!?×…µ-]")
_SHAPES = {"request": '(["{}"])', "response": '(["{}"])', "nothing": '>"{}"]'}
_LINE_COLUMNS = 34  # about where Mermaid breaks lines itself
_CLASSES = """\
classDef error stroke:#b3261e,stroke-width:2px
classDef warning stroke:#b3400a,stroke-width:2px
classDef missing stroke:#b3261e,stroke-width:2px,stroke-dasharray:5 4"""


def render_mermaid(drawing: Drawing) -> str:
    """Return the drawing as the text of one flowchart."""
    lines = ["flowchart TB"]
    for index, graph in enumerate(drawing.graphs):
        lines += _subgraph(f"p{index}", _title(graph.name, graph.facts, graph.marks), graph)
    lines += _CLASSES.splitlines()
    if drawing.marks:
        lines.append(f'findings["{"<br/>".join(_codes(drawing.marks))}"]')
    return "\n".join(lines) + "\n"


def fenced(flowchart: str) -> str:
    """Return a flowchart as a block of a Markdown document."""
    return f"```mermaid\n{flowchart}```\n"


def _subgraph(key: str, title: str, graph: Graph) -> Iterator[str]:
    yield f'subgraph {key}["{title or " "}"]'
    yield "  direction TB"
    names = {box.key: f"{key}_{index}" for index, box in enumerate(graph.boxes)}
    for box in graph.boxes:
        if box.inner is None:
            yield f"  {names[box.key]}{_shape(box)}{_class(box)}"
        else:
            title = _title(box.name, box.facts, (*box.marks, *box.inner.marks))
            yield from (f"  {line}" for line in _subgraph(names[box.key], title, box.inner))
    for edge in graph.edges:
        yield from (f"  {line}" for line in _arrows(edge, names))
    yield "end"


def _arrows(edge: Edge, names: dict[str, str]) -> Iterator[str]:
    """Yield an edge to each of its targets; the first has the label, which is the same for all."""
    words = "<br/>".join(["stream"] * edge.is_stream + [_tensor(tensor) for tensor in edge.tensors])
    dash, words = ("-.->", "calls") if edge.kind == "call" else ("==>" if edge.is_stream else "-->", words)
    for target in edge.targets:
        yield f'{names[edge.source]} {dash}|"{words}"| {names[target]}'


def _shape(box: Box) -> str:
    lines = [*box.facts, *(["decoupled"] if box.is_decoupled else [])]
    rows = [f"in {_tensor(one)}" for one in box.inputs] + [f"out {_tensor(one)}" for one in box.outputs]
    words = _head(box.name, tuple(lines), box.marks, is_bold=box.kind in ("model", "missing"), rows=rows)
    return _SHAPES.get(box.kind, '["{}"]').replace("{}", words)


def _head(
    name: str, facts: tuple[str, ...], marks: tuple[Mark, ...], *, is_bold: bool = False, rows: list[str] | None = None
) -> str:
    title = f"<b>{_escaped(name)}</b>" if is_bold else _escaped(name)
    return "<br/>".join([title, *map(_escaped, facts), *(rows or []), *_codes(marks)])


def _title(name: str, facts: tuple[str, ...], marks: tuple[Mark, ...]) -> str:
    """Return what stands over a pipeline, in one line where nothing is wrong: Mermaid leaves no room for more."""
    return "<br/>".join([_escaped(f"{name}: {', '.join(facts)}" if facts else name), *_codes(marks)])


def _codes(marks: tuple[Mark, ...]) -> list[str]:
    """Return errors and warnings in words, in lines that a box takes; notes as their codes."""
    lines = []
    for mark, more in told(marks):
        if mark.severity is Severity.NOTE:
            lines.append(f"{mark.code} × {more + 1}" if more else mark.code)
        else:
            lines += wrap(f"{mark.severity.value} {in_words(mark, more)}", _LINE_COLUMNS)
    return list(map(_escaped, lines))


def _tensor(tensor: Tensor) -> str:
    return "<br/>".join([f"{_escaped(tensor.name)} {_escaped(tensor.type)}", *_codes(tensor.marks)])


def _class(box: Box) -> str:
    severity = worst(box.marks)
    if box.kind in ("missing", "nothing"):
        return ":::missing"
    return f":::{severity.value}" if severity in (Severity.ERROR, Severity.WARNING) else ""


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda match: f"#{ord(match[0])};", text)
