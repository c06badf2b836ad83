"""Whether an ensemble agrees with the models of its steps: versions, batches, tensors, their types and shapes.

What a model's own code adds when it is loaded is not known here; of such a model nothing is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelEnsembling, ModelInput, ModelOutput

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.decoupled import streams_of
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.ensembles.configuration import steps_of
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.fixes import SetField
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.generator.wiring import (
    ABOUT_SHAPES,
    Tensor,
    boundary_of,
    describe,
    has_known_tensors,
    known,
    merge_shapes,
)

_STEPS = ("ensemble_scheduling",)
_LATEST = -1
_BOUNDED_SINCE = "25.11"  # ensemble_scheduling.max_inflight_requests
_QUEUES_MENDED_IN = "26.03"  # core#466


@dataclass(frozen=True)
class Mapped:
    """A step whose model is there and says its tensors."""

    path: str
    step: ModelEnsembling.Step
    model: ModelCase


@dataclass(frozen=True)
class End:
    """What one side says of a tensor: the ensemble, or the model of a step; `dims` are without the batch axis."""

    what: str  # e.g. input 'x' of 'm'
    path: str
    data_type: int
    dims: tuple[int, ...]
    max_batch_size: int
    is_source: bool
    is_own: bool = False  # the ensemble's

    @property
    def batches(self) -> bool:
        """Whether that side batches."""
        return self.max_batch_size > 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape with the batch axis, -1, where that side batches."""
        return (-1, *self.dims) if self.batches else self.dims

    def __str__(self) -> str:
        return f"{self.what} is {describe(Tensor('', self.data_type, self.shape))}"


def mapped_steps(model: ModelCase) -> Iterator[Mapped]:
    """Yield the steps whose models are known whole."""
    for path, step in steps_of(model):
        found = model.case.by_name.get(step.model_name)
        if found is not None and _says_its_tensors(found):
            yield Mapped(path, step, found)


@check(
    "TS630",
    "a step's version is loaded",
    triton="ensemble '{name}' depends on '{name}' whose required version {n} is not loaded.",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def versions_are_loaded(model: ModelCase) -> Iterator[Finding]:
    """An omitted model_version means version 0, not the latest, which is -1 (server#5474, #5890).

    Source: core: model_repository_manager.cc (CheckNode).
    """
    for path, step in steps_of(model):
        found = model.case.by_name.get(step.model_name)
        if found is None or not found.versions or step.model_version in (_LATEST, *found.versions):
            continue
        loaded = ", ".join(map(str, found.versions))
        message = f"step of '{found.name}' asks for version {step.model_version}; loaded is {loaded}"
        if step.model_version == 0:
            message = f"step of '{found.name}' asks for version 0: omitted, it is 0 and not the latest"
        fix = SetField(f"{path}.model_version", str(_LATEST)) if step.model_version == 0 else None
        yield model.error(f"{path}.model_version", message, remedy="model_version: -1 is the latest", fix=fix)


@check(
    "TS631",
    "an ensemble's batches fit into its steps",
    triton="ensemble {name} allows maximum batch size {n}, but it contains model {name} which only allows maximum "
    "batch size to be {n}",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def batches_fit(model: ModelCase) -> Iterator[Finding]:
    """A step that does not batch is exempt.

    Source: core: ensemble_utils.cc (ValidateEnsembleConfig).
    """
    size = model.config.max_batch_size
    for mapped in mapped_steps(model):
        limit = mapped.model.config.max_batch_size
        if 0 < limit < size:
            message = f"max_batch_size is {size}; the step '{mapped.model.name}' takes {limit}"
            fix = SetField("max_batch_size", str(limit))
            yield model.error("max_batch_size", message, remedy=f"use {limit}, or raise the step's", fix=fix)


@check(
    "TS632",
    "a step's inputs are its model's",
    triton="in ensemble {name}, ensemble tensor {name} is mapping to non-existing input {name} in model {name}",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def inputs_exist(model: ModelCase) -> Iterator[Finding]:
    """Triton holds an ensemble's maps against its steps' configurations once these are loaded, as the last thing.

    Source: core: ensemble_utils.cc (ValidateTensorMapping).
    """
    for mapped in mapped_steps(model):
        names = [given.name for given in mapped.model.config.input]
        for name in set(mapped.step.input_map).difference(names):
            message = f"model '{mapped.model.name}' has no input '{name}'.{did_you_mean(name, names)}"
            yield model.error(f"{mapped.path}.input_map.{name}", message, remedy=known("inputs", names))


@check(
    "TS633",
    "a step gives its model all inputs",
    triton="in ensemble {name}, input {name} in model {name} is not mapped to any ensemble tensors",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def inputs_are_mapped(model: ModelCase) -> Iterator[Finding]:
    """Only an input that its model calls optional may be left out.

    Source: core: ensemble_utils.cc (ValidateTensorMapping).
    """
    for mapped in mapped_steps(model):
        for given in mapped.model.config.input:
            if given.name not in mapped.step.input_map and not given.optional:
                message = f"input '{given.name}' of model '{mapped.model.name}' is not mapped"
                hint = "map it in input_map, or make it optional: true in the model"
                yield model.error(f"{mapped.path}.input_map", message, remedy=hint)


@check(
    "TS634",
    "a step's outputs are its model's",
    triton="in ensemble {name}, ensemble tensor {name} is mapped from non-existing output {name} in model {name}",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def outputs_exist(model: ModelCase) -> Iterator[Finding]:
    """Triton holds an ensemble's maps against its steps' configurations once these are loaded, as the last thing.

    Source: core: ensemble_utils.cc (ValidateTensorMapping).
    """
    for mapped in mapped_steps(model):
        names = [made.name for made in mapped.model.config.output]
        for name in set(mapped.step.output_map).difference(names):
            message = f"model '{mapped.model.name}' has no output '{name}'.{did_you_mean(name, names)}"
            yield model.error(f"{mapped.path}.output_map.{name}", message, remedy=known("outputs", names))


@check(
    "TS635",
    "a step's output is one of its model's",
    triton="in ensemble {name}, multiple outputs in model {name} are mapped to the same ensemble tensor {name}",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def outputs_are_single(model: ModelCase) -> Iterator[Finding]:
    """A model may, alone, declare two outputs of one name; a step of it cannot map them.

    Source: core: ensemble_utils.cc (ValidateTensorMapping).
    """
    for mapped in mapped_steps(model):
        names = [made.name for made in mapped.model.config.output]
        for name in mapped.step.output_map if len(set(names)) < len(names) else ():
            if names.count(name) > 1:
                message = f"model '{mapped.model.name}' declares output '{name}' {names.count(name)} times"
                yield model.error(f"{mapped.path}.output_map.{name}", message, remedy="declare it once in the model")


@check(
    "TS636",
    "both ends of a tensor have one type",
    triton="in ensemble {name}, ensemble tensor {name}: inconsistent data type: {name} is inferred from model {name} "
    "while {name} is inferred from model {name}",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def types_agree(model: ModelCase) -> Iterator[Finding]:
    """Triton converts nothing between steps.

    Source: core: ensemble_utils.cc (ValidateTensorConsistency).
    """
    for tensor, first, other in _pairs(model):
        if first.data_type != other.data_type:
            hint = "use one type at both ends, or a step that converts between them"
            yield model.error(other.path, f"tensor '{tensor}': {first}, {other}", remedy=hint)


@check(
    "TS637",
    "both ends of a tensor have one shape",
    triton="in ensemble {name}, ensemble tensor {name}: inconsistent shape: {shape} is inferred from model {name} "
    "while {shape} is inferred from model {name}",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def shapes_agree(model: ModelCase) -> Iterator[Finding]:
    """Compared are the dims as both sides write them or the shapes with the batch axis; one of the two must agree.

    -1 agrees with any size. A step's reshape is not looked at.

    Source: core: ensemble_utils.cc (ValidateTensorConsistency).
    """
    for tensor, first, other in _pairs(model):
        if first.data_type == other.data_type and not _agree(first, other):
            yield model.error(other.path, f"tensor '{tensor}': {first}, {other}", remedy=ABOUT_SHAPES)


@check(
    "TS638",
    "a step reads one stream",
    triton="in ensemble {name}, step of model '{name}' receives inputs originated from different decoupled models",
    stage=Stage.ENSEMBLE,
    on=_STEPS,
)
def streams_do_not_meet(model: ModelCase) -> Iterator[Finding]:
    """A decoupled step answers with any number of responses; what is read beside them must come with each of them.

    So neither two decoupled steps nor a decoupled step and the request itself can be joined, in the response either.

    Source: core: ensemble_utils.cc (ValidateEnsembleConfig).
    """
    if not all(step.model_name in model.case.configs for _, step in steps_of(model)):
        return
    meeting = streams_of(model.case, model.config).meeting
    steps = model.config.ensemble_scheduling.step
    hint = "let the decoupled model pass on what is needed later, with each of its responses"
    if meeting is not None and meeting < len(steps):
        message = f"the step of '{steps[meeting].model_name}' reads a decoupled model's responses beside other tensors"
        yield model.error(f"ensemble_scheduling.step[{meeting}]", message, remedy=hint)
    elif meeting is not None:
        yield model.error("output", "the outputs join a decoupled model's responses with other tensors", remedy=hint)


@check("TS639", "batches fit into steps that do not batch", phase=Phase.REQUEST, on=_STEPS)
def batches_pass(model: ModelCase) -> Iterator[Finding]:
    """Triton loads an ensemble that batches over a step that does not, where their dims agree; a batch of 1 passes.

    Its first axis is then taken away; a larger batch is refused by the step. A batch axis of a fixed size, too, takes
    that size alone.

    Source: core: ensemble_scheduler.cc (ReshapeTensorDims); tried on 2.51.
    """
    for tensor, source, reader in _readings(model):
        if source.batches and not reader.batches and model.config.max_batch_size > 1:
            size = _rows(reader, source)
            if size != -1:
                message = f"tensor '{tensor}': {source}, {reader}: requests of any other batch size than {size} fail"
                hint = "let the step's model batch, or begin its dims with -1; or max_batch_size: 1 for the ensemble"
                yield model.error(reader.path, message, remedy=hint)
        elif not source.batches and reader.batches and _rows(source, reader) > reader.max_batch_size:
            takes = f"{reader.what} takes batches of at most {reader.max_batch_size}"
            message = f"tensor '{tensor}' has {source.dims[0]} rows; {takes}: all requests fail"
            yield model.error(reader.path, message, remedy="raise the model's max_batch_size")


@check("TS640", "a stream's responses are bounded", on=_STEPS)
def streams_are_bounded(model: ModelCase) -> Iterator[Finding]:
    """Where a decoupled step is faster than those behind it, its responses pile up in memory (server#8597, #8458).

    A note: where the steps behind it are as fast, which no file tells, nothing piles up.

    Source: common: model_config.proto (ModelEnsembling.max_inflight_requests).
    """
    config = model.config.ensemble_scheduling
    if config.max_inflight_requests:
        return
    read = {tensor for step in config.step for tensor in step.input_map.values()}
    for path, step in steps_of(model):
        if not read.isdisjoint(step.output_map.values()) and step.model_name in model.case.decoupled:
            message = f"responses of '{step.model_name}' wait for the next steps in unbounded memory"
            remedy = "bound them with max_inflight_requests"
            if model.target.release.name < _BOUNDED_SINCE:
                remedy = f"{remedy}; Triton {_BOUNDED_SINCE} or newer can"
            yield model.note(path, message, remedy=remedy)


@check("TS641", "a step's full queue is answered", on=_STEPS)
def full_queues_are_answered(model: ModelCase) -> Iterator[Finding]:
    """A request that finds the queue of a step full is never answered, before 26.03.

    Source: core#466.
    """
    if model.target.release.name >= _QUEUES_MENDED_IN:
        return
    for path, step in steps_of(model):
        config = model.case.configs.get(step.model_name)
        if config is not None and config.dynamic_batching.default_queue_policy.max_queue_size:
            message = f"a request that finds the queue of '{step.model_name}' full is never answered"
            yield model.warning(
                path, message, remedy=f"Triton {_QUEUES_MENDED_IN} or newer answers that it was refused"
            )


def _says_its_tensors(model: ModelCase) -> bool:
    """Whether the tensors of a step's model are known as Triton compares them."""
    if not model.target.is_auto_complete or model.is_ensemble:
        return True
    return model.is_whole and (model.config.backend == "python" or has_known_tensors(model.config))


def _ends(model: ModelCase) -> Iterator[tuple[str, End]]:
    """Yield every mention of a tensor, in Triton's order: the ensemble's own, then each step's inputs and outputs."""
    size = model.config.max_batch_size
    for path, tensor in boundary_of(model.config):
        kind = path.partition("[")[0]
        dims = tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
        what = f"the ensemble's {kind} '{tensor.name}'"
        yield tensor.name, End(what, path, tensor.data_type, dims, size, kind == "input", is_own=True)
    for mapped in mapped_steps(model):
        found = mapped.model.config
        yield from _step_ends(mapped, found.input, mapped.step.input_map, "input")
        yield from _step_ends(mapped, found.output, mapped.step.output_map, "output")


def _step_ends(
    mapped: Mapped, tensors: Iterable[ModelInput | ModelOutput], names: Mapping[str, str], kind: str
) -> Iterator[tuple[str, End]]:
    size = mapped.model.config.max_batch_size
    for tensor in tensors:
        if tensor.name in names:
            what, path = f"{kind} '{tensor.name}' of '{mapped.model.name}'", f"{mapped.path}.{kind}_map.{tensor.name}"
            end = End(what, path, tensor.data_type, tuple(tensor.dims), size, kind == "output")
            yield names[tensor.name], end


def _pairs(model: ModelCase) -> Iterator[tuple[str, End, End]]:
    """Yield each tensor with its first mention, to which Triton holds all others, and each of those.

    An ensemble's output that is one of its inputs, too, is held to nothing.
    """
    first: dict[str, End] = {}
    for name, end in _ends(model):
        if name not in first:
            first[name] = end
        elif not end.is_own:
            yield name, first[name], end


def _readings(model: ModelCase) -> Iterator[tuple[str, End, End]]:
    """Yield each tensor that a step reads, who writes it, and the reader, where Triton takes the two for one."""
    ends = list(_ends(model))
    sources = {name: end for name, end in ends if end.is_source}
    for name, end in ends:
        source = sources.get(name)
        if source and not end.is_source and not end.is_own and _agree(source, end):
            yield name, source, end


def _rows(one: End, batching: End) -> int:
    """Return the size of the axis in which a side that does not batch has the batches of one that does, else 1."""
    return one.dims[0] if len(one.dims) == len(batching.shape) else 1


def _agree(one: End, other: End) -> bool:
    """Source: core: ensemble_utils.cc (ValidateTensorConsistency)."""
    return merge_shapes(one.dims, other.dims) is not None or merge_shapes(one.shape, other.shape) is not None
