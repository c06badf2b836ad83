"""One pipeline as a graph: an ensemble with its steps and tensors, or a model with those that it calls.

What is broken is drawn as far as it is known: a step whose model is missing, a tensor that nobody writes, a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.draw.core import Box, Edge, Graph, Tensor, marked, plain
from tritonsmith.ensembles.draw.facts import UNKNOWN, model_facts, tensor_type, tensors_of, version_words
from tritonsmith.ensembles.draw.marks import NO_MARKS, ModelMarks

MOST_NESTED, MOST_BOXES = 4, 200  # beyond that a nested ensemble is a box: see --model
REQUEST, RESPONSE, UNWRITTEN, UNREAD = "request", "response", "unwritten", "unread"


@dataclass(frozen=True)
class Scene:
    """All that is known of the models: completed configurations, versions, BLS calls and findings, by model.

    `unread` are the models that exist, though their configuration is not known.
    """

    configs: Mapping[str, ModelConfig]
    versions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    calls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    marks: Mapping[str, ModelMarks] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()

    def marks_of(self, model: str) -> ModelMarks:
        """Return what is wrong with a model."""
        return self.marks.get(model, NO_MARKS)

    def is_ensemble(self, model: str) -> bool:
        """Whether a model is known, and has steps."""
        config = self.configs.get(model)
        return config is not None and bool(config.ensemble_scheduling.step)

    def boxes_in(self, model: str, depth: int) -> int:
        """Return about how many boxes an ensemble is with all that is in it; more than enough beyond the depth."""
        if not self.is_ensemble(model):
            return 1
        if depth <= 0:
            return MOST_BOXES + 1
        total = 0
        for step in self.configs[model].ensemble_scheduling.step:
            total += self.boxes_in(step.model_name, depth - 1)
            if total > MOST_BOXES:
                break
        return total


@dataclass(frozen=True)
class _End:
    """One end of a tensor: the box, and what the model in it calls the tensor."""

    box: str
    name: str
    type: str


def graph_of(scene: Scene, name: str, above: tuple[str, ...] = ()) -> Graph:
    """Return the pipeline that begins at a model; `above` are the ensembles that it is drawn within."""
    if not scene.is_ensemble(name):
        return _graph_of_model(scene, name)
    config, marks = scene.configs[name], scene.marks_of(name)
    steps = tuple(_step_box(scene, config, index, (*above, name)) for index in _running_order(config))
    called, calls = _calls(scene, {box.key: box.name for box in steps}, (*above, name))
    strands = _strands(scene, config, marks)
    edges = _streams(_grouped(strands), {box.key for box in steps if box.is_decoupled})
    facts = model_facts(config, "") if name in scene.configs else ()
    return Graph(plain(name), facts, _with_ends((*steps, *called), edges), (*edges, *calls), marks.own)


def model_box(scene: Scene, name: str, key: str, above: tuple[str, ...] = (), version: int = -1) -> Box:
    """Return the box of a model: an ensemble with what is in it, unless it is drawn within itself already."""
    config, shown = scene.configs.get(name), plain(name)
    if config is None:
        return _unknown_box(scene, name, key)
    facts = model_facts(config, version_words(version, scene.versions.get(name, ())))
    if scene.is_ensemble(name) and name not in above and scene.boxes_in(name, MOST_NESTED - len(above)) <= MOST_BOXES:
        inner = graph_of(scene, name, above)
        return Box(key, "ensemble", shown, facts, is_decoupled=_has_decoupled(inner), inner=inner)
    is_decoupled = config.model_transaction_policy.decoupled
    return Box(key, "model", shown, facts, is_decoupled=is_decoupled, marks=scene.marks_of(name).all)


def lone_box(scene: Scene, name: str) -> Box:
    """Return the box of a model that no pipeline needs, its tensors in it."""
    box = model_box(scene, name, name)
    if name not in scene.configs:
        return box
    config = scene.configs[name]
    return replace(box, inputs=tensors_of(config.input, config), outputs=tensors_of(config.output, config))


def _graph_of_model(scene: Scene, name: str) -> Graph:
    """Return a model that clients call directly, with those that it calls in turn."""
    box = model_box(scene, name, "model")
    called, calls = _calls(scene, {"model": name}, ())
    config = scene.configs.get(name, ModelConfig())
    edges = [
        Edge(REQUEST, ("model",), tensors_of(config.input, config)),
        Edge("model", (RESPONSE,), tensors_of(config.output, config), is_stream=box.is_decoupled),
    ]
    edges = [edge for edge in edges if edge.tensors]
    return Graph(plain(name), (), _with_ends((box, *called), edges), (*edges, *calls))


def _step_box(scene: Scene, config: ModelConfig, index: int, above: tuple[str, ...]) -> Box:
    step = config.ensemble_scheduling.step[index]
    box = model_box(scene, step.model_name, f"step{index}", above, step.model_version)
    return replace(box, marks=(*scene.marks_of(above[-1]).steps.get(index, ()), *box.marks))


def _unknown_box(scene: Scene, name: str, key: str) -> Box:
    is_there = name in scene.unread
    fact = "its configuration is not known" if is_there else "not in the repository"
    return Box(key, "missing", plain(name) or "no name", (fact,), marks=scene.marks_of(name).all)


def _has_decoupled(graph: Graph) -> bool:
    return any(box.is_decoupled for box in graph.boxes)


def _running_order(config: ModelConfig) -> list[int]:
    """Return the steps as they can start: each after those that it waits for, in a circle as written."""
    steps = config.ensemble_scheduling.step
    writers = {tensor: index for index, step in enumerate(steps) for tensor in step.output_map.values()}
    waiting = {
        index: {writers[tensor] for tensor in step.input_map.values() if tensor in writers} - {index}
        for index, step in enumerate(steps)
    }
    order: list[int] = []
    while waiting:
        done = set(order)
        ready = [index for index, needed in waiting.items() if needed <= done] or [min(waiting)]
        order += ready
        for index in ready:
            del waiting[index]
    return order


def _calls(scene: Scene, callers: Mapping[str, str], above: tuple[str, ...]) -> tuple[list[Box], list[Edge]]:
    """Return the boxes of the models that are called, unless they are there already, and the calls.

    `callers` maps boxes to models.
    """
    boxes: list[Box] = []
    edges: list[Edge] = []
    keys = {model: box for box, model in reversed(list(callers.items()))}
    waiting = list(callers.items())
    while waiting:
        box, model = waiting.pop(0)
        targets = []
        for name in dict.fromkeys(scene.calls.get(model, ())):
            if name not in keys:
                keys[name] = f"called{len(boxes)}"
                boxes.append(model_box(scene, name, keys[name], above))
                waiting.append((keys[name], name))
            targets.append(keys[name])
        if targets:
            edges.append(Edge(box, tuple(targets), kind="call"))
    return boxes, edges


def _strands(scene: Scene, config: ModelConfig, marks: ModelMarks) -> Iterator[tuple[str, tuple[str, ...], Tensor]]:
    """Yield every tensor of an ensemble once for each box that writes it: (source, targets, tensor)."""
    written, read = _ends(scene, config)
    for name in dict.fromkeys([*written, *read]):
        readers = read.get(name) or [_End(UNREAD, "", UNKNOWN)]
        targets = tuple(dict.fromkeys(end.box for end in readers))
        for writer in written.get(name) or [_End(UNWRITTEN, "", UNKNOWN)]:
            type_ = next((end.type for end in (writer, *readers) if end.type != UNKNOWN), UNKNOWN)
            aliases = dict.fromkeys(end.name for end in readers if end.name not in ("", name))
            made_as = "" if writer.name == name else plain(writer.name)
            tensor = Tensor(plain(name), type_, made_as, plain(", ".join(aliases)))
            yield writer.box, targets, marked(tensor, marks.tensors.get(name, ()))


def _ends(scene: Scene, config: ModelConfig) -> tuple[dict[str, list[_End]], dict[str, list[_End]]]:
    """Return who writes and who reads each of an ensemble's tensors."""
    written: dict[str, list[_End]] = {}
    read: dict[str, list[_End]] = {}
    for item in config.input:
        written.setdefault(item.name, []).append(_End(REQUEST, item.name, tensor_type(item, config)))
    for index in _running_order(config):
        step = config.ensemble_scheduling.step[index]
        model = scene.configs.get(step.model_name, ModelConfig())
        ends = ((step.input_map, model.input, read), (step.output_map, model.output, written))
        for tensors, items, found in ends:
            types = {item.name: tensor_type(item, model) for item in items}
            for name, tensor in sorted(tensors.items(), key=_order_of([item.name for item in items])):
                found.setdefault(tensor, []).append(_End(f"step{index}", name, types.get(name, UNKNOWN)))
    for made in config.output:
        read.setdefault(made.name, []).append(_End(RESPONSE, made.name, tensor_type(made, config)))
    return written, read


def _order_of(names: Iterable[str]) -> Callable[[tuple[str, str]], tuple[int, str]]:
    """Return the key that sorts map entries as the model has its tensors, those that it has not last, by name."""
    places = {name: place for place, name in enumerate(names)}
    return lambda entry: (places.get(entry[0], len(places)), entry[0])


def _grouped(strands: Iterable[tuple[str, tuple[str, ...], Tensor]]) -> list[Edge]:
    """Return the tensors that go the same way as one edge."""
    groups: dict[tuple[str, tuple[str, ...]], list[Tensor]] = {}
    for source, targets, tensor in strands:
        groups.setdefault((source, targets), []).append(tensor)
    return [Edge(source, targets, tuple(tensors)) for (source, targets), tensors in groups.items()]


def _streams(edges: Sequence[Edge], decoupled: set[str]) -> list[Edge]:
    """Mark what comes any number of times: all that lies behind a decoupled model."""
    streaming, waiting = set(decoupled), list(decoupled)
    while waiting:
        source = waiting.pop()
        behind = {target for edge in edges if edge.source == source for target in edge.targets} - streaming
        streaming |= behind
        waiting += behind
    return [replace(edge, is_stream=edge.source in streaming) for edge in edges]


def _with_ends(boxes: Sequence[Box], edges: Sequence[Edge]) -> tuple[Box, ...]:
    """Return the boxes between the ends that the edges need."""
    used = {edge.source for edge in edges} | {target for edge in edges for target in edge.targets}
    first = [Box(REQUEST, "request", "request"), Box(UNWRITTEN, "nothing", "nobody writes")]
    last = [Box(UNREAD, "nothing", "nobody reads"), Box(RESPONSE, "response", "response")]
    return (*(box for box in first if box.key in used), *boxes, *(box for box in last if box.key in used))
