"""Whether the maps of an ensemble's steps make a graph of tensors; its steps' models are not looked at here."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.ensembles.configuration import steps_of
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.spans import find_spans
from tritonsmith.generator.repository.tokens import Tokens
from tritonsmith.generator.suggest import did_you_mean

_STEPS = ("ensemble_scheduling",)


@check(
    "TS611",
    "a tensor of an ensemble is written once",
    triton="ensemble tensor '{name}' can appear in an output map only once for ensemble '{name}' step {n}",
    stage=Stage.POLL,
    on=_STEPS,
)
def tensors_are_written_once(model: ModelCase) -> Iterator[Finding]:
    """Two steps that write one tensor would leave open which of them the next one reads.

    Source: core: model_config_utils.cc (BuildEnsembleGraph).
    """
    writers: dict[str, str] = {}
    for path, step in steps_of(model):
        for output, tensor in step.output_map.items():
            if tensor in writers:
                message = f"tensor '{tensor}' is written by output '{output}' of '{step.model_name}', and was already"
                yield model.error(f"{path}.output_map.{output}", f"{message} by {writers[tensor]}", remedy="rename one")
            writers.setdefault(tensor, f"'{output}' of '{step.model_name}'")


@check(
    "TS612",
    "an ensemble's input is read by a step",
    triton="ensemble input '{name}' for ensemble {name}' is not used",
    stage=Stage.POLL,
    on=_STEPS,
)
def inputs_are_used(model: ModelCase) -> Iterator[Finding]:
    """What a client sends would lead nowhere; Triton takes that for a misspelt name.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    graph = _graph(model)
    for index, given in enumerate(model.config.input if graph else ()):
        if graph and given.name not in graph.tensors:
            near = did_you_mean(given.name, graph.tensors)
            yield model.error(f"input[{index}]", f"no step reads the input '{given.name}'.{near}", remedy=_known(graph))


@check(
    "TS613",
    "an ensemble's output is a tensor of a step",
    triton="ensemble output '{name}' for ensemble {name}' is not used",
    stage=Stage.POLL,
    on=_STEPS,
)
def outputs_are_tensors(model: ModelCase) -> Iterator[Finding]:
    """No step would ever write what a client waits for; Triton takes that for a misspelt name.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    graph = _graph(model)
    for index, made in enumerate(model.config.output if graph else ()):
        if graph and made.name not in graph.tensors:
            near = did_you_mean(made.name, graph.tensors)
            yield model.error(
                f"output[{index}]", f"no step writes the output '{made.name}'.{near}", remedy=_known(graph)
            )


@check(
    "TS614",
    "an ensemble's output is written",
    triton="output '{name}' for ensemble '{name}' is not written",
    stage=Stage.POLL,
    on=_STEPS,
)
def outputs_are_written(model: ModelCase) -> Iterator[Finding]:
    """An output that a step reads, but none writes; or one whose own step waits for it.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    for path, name, source, graph in _unwritten(model):
        if source == name:
            what = "the step that writes it waits for it" if name in graph.writers else "steps only read it"
            hint = "rename a tensor so that the data flows one way" if name in graph.writers else "map it in output_map"
            yield model.error(path, f"the output '{name}' is never written: {what}", remedy=hint)


@check(
    "TS615",
    "what an ensemble's output is made from is written",
    triton="output '{name}' for ensemble '{name}' is not written: at least one of its depending tensors, '{name}', "
    "is not connected",
    stage=Stage.POLL,
    on=_STEPS,
)
def sources_are_written(model: ModelCase) -> Iterator[Finding]:
    """A step runs once all its inputs are there; one that is never written stops all that come after it.

    Steps that wait for one another in a circle are told like this too.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    for path, name, source, graph in _unwritten(model):
        if source != name:
            message, hint = _never_written(model, graph, source)
            yield model.error(path, f"the output '{name}' is never written: {message}", remedy=hint)


@check(
    "TS616",
    "a tensor of an ensemble is of use",
    triton="ensemble tensor '{name}' is unused in ensemble '{name}'",
    stage=Stage.POLL,
    on=_STEPS,
)
def tensors_are_used(model: ModelCase) -> Iterator[Finding]:
    """A mapped output must be read by a step or be an output of the ensemble; one that is not mapped is simply dropped.

    So must a tensor that a step reads be there: an input of the ensemble, or written by a step that can run.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    graph = _graph(model)
    if graph is None or not _has_boundary(model, graph) or list(_unwritten(model)):
        return
    outputs = {made.name for made in model.config.output}
    late = [name for name in graph.tensors if name not in graph.ready and name not in outputs]
    for name in [name for name in late if name not in graph.writers] or late[:1]:  # what follows from them is not told
        message, hint = _never_written(model, graph, name)
        yield model.error(graph.readers.get(name) or graph.writers[name], message, remedy=hint)
    for name, path in graph.writers.items():
        if name in graph.ready and name not in graph.readers and name not in outputs:
            hint = "take it out of the output_map, or make it an output of the ensemble"
            yield model.error(path, f"nobody reads tensor '{name}'", remedy=hint)


@check("TS617", "a key of a map is written once", on=_STEPS)
def keys_are_written_once(model: ModelCase) -> Iterator[Finding]:
    """Of two entries with one key the last counts, without a word: an input takes one tensor, an output gives one.

    Source: protobuf: map fields in the text format.
    """
    config, text = model.config, model.model.text
    entries = sum(len(step.input_map) + len(step.output_map) for step in config.ensemble_scheduling.step)
    if text.count("key") > entries + len(config.parameters):
        for path, spans in find_spans(Tokens(text)).items():
            if len(spans) > 1 and spans[0].is_entry and path.startswith("ensemble_scheduling.step["):
                message = f"'{path.partition('_map.')[2]}' is mapped twice; the last mapping counts"
                yield model.warning(path, message, remedy="map it once")


@dataclass(frozen=True)
class _Graph:
    """An ensemble's tensors as its steps' maps have them: where each is written and read, and which are ever ready.

    A tensor is ready once all inputs of the step that writes it are; the ensemble's inputs are from the start.
    """

    tensors: tuple[str, ...]
    writers: dict[str, str]
    readers: dict[str, str]
    needs: dict[str, tuple[str, ...]]  # a tensor that is written: what its step reads
    ready: frozenset[str]


def _graph(model: ModelCase) -> _Graph | None:
    """Return the graph, None where Triton makes none: a step lacks something, or writes what another writes.

    Source: core: model_config_utils.cc (BuildEnsembleGraph).
    """
    tensors: dict[str, None] = {}
    writers: dict[str, str] = {}
    readers: dict[str, str] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for path, step in steps_of(model):
        if not (step.model_name and step.input_map and step.output_map):
            return None
        read = tuple(step.input_map.values())
        for output, tensor in step.output_map.items():
            if tensor in writers:
                return None
            tensors[tensor], writers[tensor], needs[tensor] = None, f"{path}.output_map.{output}", read
        for given, tensor in step.input_map.items():
            tensors[tensor] = None
            readers.setdefault(tensor, f"{path}.input_map.{given}")
    return _Graph(tuple(tensors), writers, readers, needs, _ready(model, tensors)) if writers else None


def _ready(model: ModelCase, tensors: Container[str]) -> frozenset[str]:
    """Return the tensors that are there at some time."""
    steps = [step for _, step in steps_of(model)]
    waits = [set(step.input_map.values()) for step in steps]
    readers: dict[str, list[int]] = {}
    for index, read in enumerate(waits):
        for name in read:
            readers.setdefault(name, []).append(index)
    queue = [given.name for given in model.config.input if given.name in tensors]
    ready = set(queue)
    for name in queue:  # it grows on the way
        for index in readers.pop(name, ()):
            waits[index].discard(name)
            made = (
                [] if waits[index] else [tensor for tensor in steps[index].output_map.values() if tensor not in ready]
            )
            ready.update(made)
            queue += made
    return frozenset(ready)


def _has_boundary(model: ModelCase, graph: _Graph) -> bool:
    """Whether the ensemble's inputs and outputs are tensors of its graph; the rest follows where they are not."""
    config = model.config
    names = [*(given.name for given in config.input), *(made.name for made in config.output)]
    return set(graph.tensors).issuperset(names)


def _unwritten(model: ModelCase) -> Iterator[tuple[str, str, str, _Graph]]:
    """Yield path and name of each output that is never written, and the tensor that it waits for in the end."""
    graph = _graph(model)
    if graph is not None and _has_boundary(model, graph):
        for index, made in enumerate(model.config.output):
            if made.name not in graph.ready:
                yield f"output[{index}]", made.name, _source(graph, made.name), graph


def _source(graph: _Graph, name: str) -> str:
    """Return the tensor that keeps another from being written, itself where nothing else does.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig), which follows the first that is not ready.
    """
    last, seen = name, set[str]()
    while True:
        late = (read for read in graph.needs.get(last, ()) if read not in graph.ready and read not in seen)
        found = next(late, None)
        if found is None:
            return last
        seen.add(found)
        last = found


def _never_written(model: ModelCase, graph: _Graph, name: str) -> tuple[str, str]:
    """Return why a tensor is not there, and the next step."""
    if name in graph.writers:
        return f"the step that writes '{name}' waits for itself", "rename a tensor so that the data flows one way"
    near = did_you_mean(name, [*graph.writers, *(given.name for given in model.config.input)])
    hint = f"map '{name}' in a step's output_map, or make it an input of the ensemble"
    return f"nothing writes '{name}'.{near}", hint


def _known(graph: _Graph) -> str:
    return f"the tensors are {', '.join(graph.tensors)}"
