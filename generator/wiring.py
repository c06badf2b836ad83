"""An ensemble's tensors: bare names wired by tensor name, then types and shapes followed through every step.

Shapes here are full: the batch axis is there, as -1, where a model batches. Triton itself also accepts tensors whose
dims agree while only one side batches; of such an ensemble only batches of 1 pass, so a spec's is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.spec.document import Step
from tritonsmith.generator.suggest import did_you_mean

Shape = tuple[int, ...]

ABOUT_SHAPES = "shapes are shown with the batch axis (-1 where a model batches)"


@dataclass(frozen=True)
class Tensor:
    """A tensor of an ensemble: who writes it (a step's index, -1 for a request), and its full shape."""

    name: str
    data_type: int
    shape: Shape
    producer: int = -1


@dataclass(frozen=True)
class WiredStep:
    """A step with both maps complete: the model's tensor -> the ensemble's."""

    step: Step
    input_map: Mapping[str, str]
    output_map: Mapping[str, str]


@dataclass(frozen=True)
class Wiring:
    """A wired ensemble: its steps, the tensors that requests bring, and those that responses carry."""

    steps: tuple[WiredStep, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tensors: Mapping[str, Tensor]
    max_batch_size: int


def wire(
    steps: Sequence[Step],
    models: Mapping[str, ModelConfig],
    *,
    key: str,
    findings: list[Finding],
    outputs: Sequence[str] | None = None,
    expose: Collection[str] = (),
    inputs: Collection[str] = (),
) -> Wiring | None:
    """Wire an ensemble whose steps' models are all in `models`; None where a finding makes that impossible.

    `outputs` are those that the user declared, None for "what nobody consumes"; `inputs` likewise those declared,
    which optional inputs of a step are wired to; `expose` adds outputs.
    """
    found: list[Finding] = []
    wiring = _Wirer(models, key, found).wiring(steps, outputs, expose, inputs)
    findings.extend(found)
    return wiring


@dataclass(frozen=True)
class _Wirer:
    """Wires one ensemble; what is wrong with it is added to `findings`, which start empty."""

    models: Mapping[str, ModelConfig]
    key: str
    findings: list[Finding]

    def wiring(
        self, steps: Sequence[Step], outputs: Sequence[str] | None, expose: Collection[str], inputs: Collection[str]
    ) -> Wiring | None:
        """Return the wired ensemble, None where there are findings; each stage needs the one before."""
        self._refuse_silent_models(steps)
        if self.findings:
            return None
        wired = self._complete_maps(steps, inputs)
        producers = self._producers(wired)
        if self.findings:
            return None
        self._refuse_cycles(wired, producers)
        tensors = self._trace(wired, producers)
        chosen = self._outputs(wired, producers, outputs, expose)
        if self.findings:
            return None
        return Wiring(
            steps=tuple(_without_unused(step, chosen, wired) for step in wired),
            inputs=tuple(tensor for tensor in tensors.values() if tensor.producer < 0),
            outputs=tuple(tensors[name] for name in chosen),
            tensors=tensors,
            max_batch_size=self._batch_limit(wired, tensors, chosen),
        )

    def _refuse_silent_models(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if not has_known_tensors(self.models[step.model]):
                message = f"the step's model '{step.model}' does not say its inputs and outputs"
                hint = f"write name, data_type and dims of each under models.{step.model}, or in its config.pbtxt"
                self._error(message, step, hint)

    def _complete_maps(self, steps: Sequence[Step], declared_inputs: Collection[str]) -> list[WiredStep]:
        """Give every step both maps: required inputs and, where no output_map is given, all outputs go by name."""
        half = [WiredStep(step, {}, self._output_map(step)) for step in steps]
        available = {name for step in half for name in step.output_map.values()} | set(declared_inputs)
        return [replace(wired, input_map=self._input_map(wired.step, available)) for wired in half]

    def _output_map(self, step: Step) -> Mapping[str, str]:
        names = [tensor.name for tensor in self.models[step.model].output]
        for name in step.output_map or ():
            if name not in names:
                message = f"model '{step.model}' has no output '{name}'.{did_you_mean(name, names)}"
                self._error(message, step, known("outputs", names), "output_map")
        return step.output_map if step.output_map is not None else {name: name for name in names}

    def _input_map(self, step: Step, available: Collection[str]) -> dict[str, str]:
        inputs = self.models[step.model].input
        names = [tensor.name for tensor in inputs]
        complete: dict[str, str] = {}
        for name, tensor in (step.input_map or {}).items():
            if name in names:
                complete[name] = tensor
            else:
                message = f"model '{step.model}' has no input '{name}'.{did_you_mean(name, names)}"
                self._error(message, step, known("inputs", names), "input_map")
        for given in inputs:
            is_wanted = not given.optional or (step.input_map is None and given.name in available)
            if given.name not in complete and is_wanted:
                complete[given.name] = given.name
        return complete

    def _producers(self, steps: Sequence[WiredStep]) -> dict[str, int]:
        """Return who writes each tensor, as a step's index."""
        producers: dict[str, int] = {}
        for index, wired in enumerate(steps):
            for tensor in wired.output_map.values():
                if tensor not in producers:
                    producers[tensor] = index
                    continue
                other = steps[producers[tensor]]
                message = f"two steps write the tensor '{tensor}': '{other.step.model}' and '{wired.step.model}'"
                if other is wired:
                    message = f"two outputs of '{wired.step.model}' write the tensor '{tensor}'"
                hint = f"rename one: {{model_name: {wired.step.model}, output_map: {{...: another_name}}}}"
                self._error(message, wired.step, hint)
        return producers

    def _refuse_cycles(self, steps: Sequence[WiredStep], producers: Mapping[str, int]) -> None:
        """Add a finding for steps that wait for one another: nothing would ever start them."""
        needed = {
            index: {producers[tensor]: tensor for tensor in wired.input_map.values() if tensor in producers}
            for index, wired in enumerate(steps)
        }
        try:
            TopologicalSorter(needed).prepare()
        except CycleError as problem:
            cycle: list[int] = problem.args[1][1:]  # its first step is its last again
            start = cycle.index(min(cycle))
            path = [*cycle[start:], *cycle[:start], cycle[start]]
            names = " -> ".join(steps[index].step.model for index in path)
            tensors = ", ".join(needed[reader][writer] for writer, reader in pairwise(path))
            message = f"steps wait for one another: {names} (through {tensors})"
            hint = "rename a tensor with input_map or output_map so that the data flows one way"
            self._error(message, steps[path[0]].step, hint)

    def _trace(self, steps: Sequence[WiredStep], producers: Mapping[str, int]) -> dict[str, Tensor]:
        """Return every tensor with its type and shape; what a consumer contradicts is a finding."""
        tensors: dict[str, Tensor] = {}
        for index, wired in enumerate(steps):
            config = self.models[wired.step.model]
            for output in config.output:
                name = wired.output_map.get(output.name)
                if name is not None:
                    tensors[name] = Tensor(name, output.data_type, full_shape(output.dims, config), index)
        for wired in steps:
            config = self.models[wired.step.model]
            for given in config.input:
                name = wired.input_map.get(given.name)
                if name is not None:
                    wanted = Tensor(name, given.data_type, full_shape(given.dims, config), producers.get(name, -1))
                    tensor = tensors.get(name, wanted)
                    tensors[name] = self._agree(tensor, wanted, wired.step, given.name, steps)
        return tensors

    def _agree(self, tensor: Tensor, wanted: Tensor, step: Step, input_name: str, steps: Sequence[WiredStep]) -> Tensor:
        """Return the tensor as both sides see it."""
        shape = merge_shapes(tensor.shape, wanted.shape)
        if shape is not None and tensor.data_type == wanted.data_type:
            return replace(tensor, shape=shape)
        source = f"'{steps[tensor.producer].step.model}'" if tensor.producer >= 0 else "the request, for another step"
        message = (
            f"tensor '{tensor.name}' is {describe(tensor)} from {source}, "
            f"but input '{input_name}' of '{step.model}' takes {describe(wanted)}"
        )
        self._error(message, step, ABOUT_SHAPES)
        return tensor

    def _outputs(
        self,
        steps: Sequence[WiredStep],
        producers: Mapping[str, int],
        declared: Sequence[str] | None,
        expose: Collection[str],
    ) -> list[str]:
        """Return the ensemble's outputs: those declared, or those that no step consumes; and those exposed."""
        consumed = {tensor for step in steps for tensor in step.input_map.values()}
        chosen = list(declared) if declared is not None else [name for name in producers if name not in consumed]
        chosen += [name for name in dict.fromkeys(expose) if name not in chosen]
        for name in chosen:
            if name not in producers:
                message = f"no step writes the output '{name}'.{did_you_mean(name, producers)}"
                self._error(message, steps[0].step, known("tensors", producers))
        return chosen

    def _batch_limit(self, steps: Sequence[WiredStep], tensors: Mapping[str, Tensor], outputs: Collection[str]) -> int:
        """Return the least max_batch_size of the steps that batch; 0 where a boundary tensor has no batch axis."""
        limits = [self.models[step.step.model].max_batch_size for step in steps]
        batching = [limit for limit in limits if limit > 0]
        boundary = [tensor for tensor in tensors.values() if tensor.producer < 0 or tensor.name in outputs]
        if not batching or any(tensor.shape[:1] != (-1,) or len(tensor.shape) < 2 for tensor in boundary):
            return 0
        return min(batching)

    def _error(self, message: str, step: Step, hint: str, part: str = "") -> None:
        self.findings.append(error(message, step.place, key=f"{self.key}.{part}".rstrip("."), remedy=hint))


def compare_boundary(
    config: ModelConfig, tensors: Mapping[str, Tensor], origin: Callable[[str], Place], key: str
) -> Iterator[Finding]:
    """Yield where an ensemble's own inputs and outputs are not what its steps take and give."""
    for path, item in boundary_of(config):
        name = item.name
        ours, theirs = Tensor(name, item.data_type, full_shape(item.dims, config)), tensors.get(name)
        if theirs is None:
            message = f"no step has a tensor '{name}'.{did_you_mean(name, tensors)}"
            yield error(message, origin(path), key=f"{key}.{path}", remedy=known("tensors", tensors))
        elif ours.data_type != theirs.data_type or merge_shapes(ours.shape, theirs.shape) is None:
            message = f"the ensemble says {describe(ours)} for '{name}', its steps {describe(theirs)}"
            yield error(message, origin(path), key=f"{key}.{path}", remedy=ABOUT_SHAPES)


def boundary_of(config: ModelConfig) -> Iterator[tuple[str, ModelInput | ModelOutput]]:
    """Yield a model's inputs and outputs with their field paths, e.g. output[0]."""
    for index, given in enumerate(config.input):
        yield f"input[{index}]", given
    for index, made in enumerate(config.output):
        yield f"output[{index}]", made


def has_known_tensors(config: ModelConfig) -> bool:
    """Whether a model says all of its inputs and outputs; a Python model may say them only when it is loaded."""
    tensors = [tensor for _, tensor in boundary_of(config)]
    return bool(config.input and config.output) and all(tensor.data_type and tensor.dims for tensor in tensors)


def fields_no_ensemble_has(config: ModelConfig) -> Iterator[str]:
    """Yield the fields of an ensemble's configuration for which Triton refuses it.

    Source: core: model_config_utils.cc (ValidateEnsembleConfig, ValidateInstanceGroup), model_config.proto's oneof.
    """
    fields = ("backend", "instance_group", "optimization", "model_warmup", "dynamic_batching", "sequence_batching")
    given = {field.name for field, _ in config.ListFields()}
    yield from (field for field in fields if field in given)


def full_shape(dims: Sequence[int], config: ModelConfig) -> Shape:
    """Return a tensor's shape with the batch axis, where the model batches."""
    return (-1, *dims) if config.max_batch_size > 0 else tuple(dims)


def merge_shapes(one: Shape, other: Shape) -> Shape | None:
    """Return the narrower of two shapes that agree, -1 agreeing with everything; None where they do not."""
    if len(one) != len(other):
        return None
    pairs = list(zip(one, other, strict=True))
    if any(-1 not in (a, b) and a != b for a, b in pairs):
        return None
    return tuple(max(a, b) for a, b in pairs)


def describe(tensor: Tensor) -> str:
    """Return a tensor's type and full shape, e.g. FP32 [-1,8,8]."""
    datatype = BY_NUMBER[tensor.data_type].name.removeprefix("TYPE_") if tensor.data_type in BY_NUMBER else "?"
    return f"{datatype} [{','.join(map(str, tensor.shape))}]"


def known(what: str, names: Iterable[str]) -> str:
    """Return what there is, as a remedy for a name that is not there."""
    return f"the {what} are {', '.join(names) or 'none'}"


def _without_unused(step: WiredStep, outputs: Collection[str], steps: Sequence[WiredStep]) -> WiredStep:
    """Drop what nobody reads from a map we made; Triton refuses an ensemble tensor that is unused (rule 85)."""
    if step.step.output_map is not None:
        return step
    consumed = {tensor for other in steps for tensor in other.input_map.values()}
    kept = {name: tensor for name, tensor in step.output_map.items() if tensor in consumed or tensor in outputs}
    return replace(step, output_map=kept)
