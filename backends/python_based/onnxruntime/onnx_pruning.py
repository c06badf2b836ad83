"""Only what the wanted outputs need: sessions on a part of the graph.

ONNX Runtime runs every node of a graph, whichever outputs are fetched (tried on 1.31: a node that fails fails the run
also where nobody wants what it gives). So requests that leave outputs out get a session on the nodes they need, where
that is not all of them. It holds its own copy of the weights that those nodes use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_MOST_PARTS = 4  # sets of outputs with a session of their own; clients of a model ask for one or two


class PartialSessions:
    """Picks the session for a set of wanted outputs; `open_part` opens one on the bytes of a model."""

    def __init__(self, path: Path, whole: Any, open_part: Callable[[bytes], Any]) -> None:
        self._path = path
        self._whole = whole
        self._open_part = open_part
        self._output_count = len(whole.get_outputs())
        self._parts: dict[frozenset[str], Any] = {}

    def pick(self, names: Iterable[str]) -> Any:
        """The session that computes no more than `names` need; the whole one where nothing can be left out."""
        wanted = frozenset(names)
        if not wanted or len(wanted) == self._output_count:
            return self._whole
        if wanted not in self._parts:
            if len(self._parts) == _MOST_PARTS:
                return self._whole
            self._parts[wanted] = self._opened(wanted)
        return self._parts[wanted]

    def _opened(self, wanted: frozenset[str]) -> Any:
        try:
            part = part_of_model(self._path, wanted)
            return self._whole if part is None else self._open_part(part)
        # Whatever is in the way (a part that ONNX Runtime refuses, memory) costs the saving, not the request.
        except Exception:
            return self._whole


def part_of_model(path: Path, wanted: frozenset[str]) -> bytes | None:
    """The model with only the nodes that `wanted` outputs need; None where that is all of them.

    All inputs stay, so that a request's inputs fit. External data is not read.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    kept = _needed_nodes(graph, wanted)
    if len(kept) == len(graph.node):
        return None
    nodes = [graph.node[place] for place in kept]
    used = {name for node in nodes for name in _names_read(node)} | wanted | {value.name for value in graph.input}
    smaller = onnx.GraphProto(
        name=graph.name,
        node=nodes,
        input=graph.input,
        output=[value for value in graph.output if value.name in wanted],
        initializer=[tensor for tensor in graph.initializer if tensor.name in used],
        sparse_initializer=[tensor for tensor in graph.sparse_initializer if tensor.values.name in used],
        value_info=graph.value_info,
    )
    graph.CopyFrom(smaller)
    serialized: bytes = model.SerializeToString()
    return serialized


def _needed_nodes(graph: Any, wanted: Iterable[str]) -> list[int]:
    """Places of the nodes on which the wanted tensors depend, in the graph's order."""
    producers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    needed: set[int] = set()
    open_names = list(wanted)
    while open_names:
        place = producers.get(open_names.pop())
        if place is not None and place not in needed:
            needed.add(place)
            open_names.extend(_names_read(graph.node[place]))
    return sorted(needed)


def _names_read(node: Any) -> Iterator[str]:
    """Names of the tensors that a node reads; those read inside its branches and loop bodies too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            for inner in graph.node:
                yield from _names_read(inner)
            yield from (value.name for value in graph.output)
