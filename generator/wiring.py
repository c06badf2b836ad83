"""An ensemble's tensors: bare names wired by tensor name, then types and shapes followed through every step.

Shapes here are full: the batch axis is there, as -1, where a model batches. Triton itself also accepts tensors whose
dims agree while only one side batches; such an ensemble loads and fails at its first request, so it is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.spec.document import Step
from tritonsmith.generator.suggest import did_you_mean

Shape = tuple[int, ...]


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
    count = len(findings)
    for step in steps:
        if not has_known_tensors(models[step.model]):
            message = f"the step's model '{step.model}' does not say its inputs and outputs"
            hint = f"write them under models.{step.model}, or in its config.pbtxt"
            findings.append(error(message, step.place, key=key, remedy=hint))
    if len(findings) > count:
        return None
    wired = _complete_maps(steps, models, inputs, key, findings)
    producers = _producers(wired, key, findings)
    if len(findings) > count:
        return None
    _refuse_cycles(wired, producers, key, findings)
    if len(findings) > count:
        return None
    tensors = _trace(wired, models, producers, key, findings)
    chosen = _outputs(wired, producers, outputs, expose, key, findings)
    if len(findings) > count:
        return None
    return Wiring(
        steps=tuple(_without_unused(step, chosen, wired) for step in wired),
        inputs=tuple(tensor for tensor in tensors.values() if tensor.producer < 0),
        outputs=tuple(tensors[name] for name in chosen),
        tensors=tensors,
        max_batch_size=_batch_limit(wired, models, tensors, chosen),
    )


def compare_boundary(
    config: ModelConfig, tensors: Mapping[str, Tensor], origin: Callable[[str], Place], key: str
) -> Iterator[Finding]:
    """Yield where an ensemble's own inputs and outputs are not what its steps take and give."""
    for path, item in boundary_of(config):
        name = item.name
        ours, theirs = Tensor(name, item.data_type, full_shape(item.dims, config)), tensors.get(name)
        if theirs is None:
            message = f"no step has a tensor '{name}'.{did_you_mean(name, tensors)}"
            yield error(message, origin(path), key=f"{key}.{path}")
        elif ours.data_type != theirs.data_type or merge_shapes(ours.shape, theirs.shape) is None:
            message = f"the ensemble says {describe(ours)} for '{name}', its steps {describe(theirs)}"
            hint = "shapes are shown with the batch axis (-1 where a model batches)"
            yield error(message, origin(path), key=f"{key}.{path}", remedy=hint)


def boundary_of(config: ModelConfig) -> Iterator[tuple[str, ModelInput | ModelOutput]]:
    """Yield a model's inputs and outputs with their field paths, e.g. output[0]."""
    for index, given in enumerate(config.input):
        yield f"input[{index}]", given
    for index, made in enumerate(config.output):
        yield f"output[{index}]", made


def has_known_tensors(config: ModelConfig) -> bool:
    """Whether a model says its inputs and outputs; a Python model may say them only when it is loaded."""
    return bool(config.input and config.output)


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


def _complete_maps(
    steps: Sequence[Step],
    models: Mapping[str, ModelConfig],
    declared_inputs: Collection[str],
    key: str,
    findings: list[Finding],
) -> list[WiredStep]:
    """Give every step both maps: required inputs and, where no output_map is given, all outputs go by name."""
    half = []
    for step in steps:
        config = models[step.model]
        names = [tensor.name for tensor in config.output]
        for name in step.output_map or ():
            if name not in names:
                message = f"model '{step.model}' has no output '{name}'.{did_you_mean(name, names)}"
                findings.append(error(message, step.place, key=f"{key}.output_map"))
        half.append(WiredStep(step, {}, step.output_map if step.output_map is not None else {n: n for n in names}))
    available = {name for step in half for name in step.output_map.values()} | set(declared_inputs)
    return [replace(w, input_map=_input_map(w.step, models[w.step.model], available, key, findings)) for w in half]


def _input_map(
    step: Step, config: ModelConfig, available: Collection[str], key: str, findings: list[Finding]
) -> dict[str, str]:
    names = [tensor.name for tensor in config.input]
    complete: dict[str, str] = {}
    for name, tensor in (step.input_map or {}).items():
        if name in names:
            complete[name] = tensor
        else:
            message = f"model '{step.model}' has no input '{name}'.{did_you_mean(name, names)}"
            findings.append(error(message, step.place, key=f"{key}.input_map"))
    for given in config.input:
        is_wanted = not given.optional or (step.input_map is None and given.name in available)
        if given.name not in complete and is_wanted:
            complete[given.name] = given.name
    return complete


def _producers(steps: Sequence[WiredStep], key: str, findings: list[Finding]) -> dict[str, int]:
    producers: dict[str, int] = {}
    for index, step in enumerate(steps):
        for tensor in step.output_map.values():
            if tensor in producers:
                other = steps[producers[tensor]].step.model
                message = f"two steps write the tensor '{tensor}': '{other}' and '{step.step.model}'"
                hint = f"rename one: {{model_name: {step.step.model}, output_map: {{...: another_name}}}}"
                findings.append(error(message, step.step.place, key=key, remedy=hint))
            producers.setdefault(tensor, index)
    return producers


def _refuse_cycles(steps: Sequence[WiredStep], producers: Mapping[str, int], key: str, findings: list[Finding]) -> None:
    """Add a finding for steps that wait for one another: nothing would ever start them."""
    waiting = {
        index: {producers[tensor] for tensor in step.input_map.values() if tensor in producers}
        for index, step in enumerate(steps)
    }
    while ready := [index for index, needs in waiting.items() if not needs & waiting.keys()]:
        for index in ready:
            del waiting[index]
    if waiting:
        first = steps[min(waiting)]
        names = " -> ".join(steps[index].step.model for index in sorted(waiting))
        tensors = sorted({t for i in waiting for t in steps[i].input_map.values() if producers.get(t) in waiting})
        message = f"steps wait for one another: {names} (through {', '.join(tensors)})"
        hint = "rename a tensor with input_map or output_map so that the data flows one way"
        findings.append(error(message, first.step.place, key=key, remedy=hint))


def _trace(
    steps: Sequence[WiredStep],
    models: Mapping[str, ModelConfig],
    producers: Mapping[str, int],
    key: str,
    findings: list[Finding],
) -> dict[str, Tensor]:
    """Return every tensor with its type and shape; what a consumer contradicts is added to `findings`."""
    tensors: dict[str, Tensor] = {}
    for index, step in enumerate(steps):
        config = models[step.step.model]
        for output in config.output:
            name = step.output_map.get(output.name)
            if name is not None:
                tensors[name] = Tensor(name, output.data_type, full_shape(output.dims, config), index)
    for step in steps:
        config = models[step.step.model]
        for given in config.input:
            name = step.input_map.get(given.name)
            if name is not None:
                wanted = Tensor(name, given.data_type, full_shape(given.dims, config), producers.get(name, -1))
                tensors[name] = _agree(tensors.get(name), wanted, step, given.name, steps, key, findings)
    return tensors


def _agree(
    tensor: Tensor | None,
    wanted: Tensor,
    step: WiredStep,
    input_name: str,
    steps: Sequence[WiredStep],
    key: str,
    findings: list[Finding],
) -> Tensor:
    """Return the tensor as both sides see it."""
    if tensor is None:
        return wanted
    shape = merge_shapes(tensor.shape, wanted.shape)
    if shape is not None and tensor.data_type == wanted.data_type:
        return replace(tensor, shape=shape)
    source = steps[tensor.producer].step.model if tensor.producer >= 0 else "another step"
    message = (
        f"tensor '{tensor.name}' is {describe(tensor)} from '{source}', "
        f"but input '{input_name}' of '{step.step.model}' takes {describe(wanted)}"
    )
    hint = "shapes are shown with the batch axis (-1 where a model batches)"
    findings.append(error(message, step.step.place, key=key, remedy=hint))
    return tensor


def describe(tensor: Tensor) -> str:
    """Return a tensor's type and full shape, e.g. FP32 [-1,8,8]."""
    datatype = BY_NUMBER[tensor.data_type].name.removeprefix("TYPE_") if tensor.data_type in BY_NUMBER else "?"
    return f"{datatype} [{','.join(map(str, tensor.shape))}]"


def _outputs(
    steps: Sequence[WiredStep],
    producers: Mapping[str, int],
    declared: Sequence[str] | None,
    expose: Collection[str],
    key: str,
    findings: list[Finding],
) -> list[str]:
    """Return the ensemble's outputs: those declared, or those that no step consumes; and those exposed."""
    consumed = {tensor for step in steps for tensor in step.input_map.values()}
    chosen = list(declared) if declared is not None else [name for name in producers if name not in consumed]
    chosen += [name for name in expose if name not in chosen]
    for name in chosen:
        if name not in producers:
            message = f"no step writes the output '{name}'.{did_you_mean(name, producers)}"
            findings.append(error(message, steps[0].step.place, key=key))
    return chosen


def _without_unused(step: WiredStep, outputs: Collection[str], steps: Sequence[WiredStep]) -> WiredStep:
    """Drop what nobody reads from a map we made; Triton refuses an ensemble tensor that is unused (rule 85)."""
    if step.step.output_map is not None:
        return step
    consumed = {tensor for other in steps for tensor in other.input_map.values()}
    kept = {name: tensor for name, tensor in step.output_map.items() if tensor in consumed or tensor in outputs}
    return replace(step, output_map=kept)


def _batch_limit(
    steps: Sequence[WiredStep],
    models: Mapping[str, ModelConfig],
    tensors: Mapping[str, Tensor],
    outputs: Collection[str],
) -> int:
    """Return the least max_batch_size of the steps that batch; 0 where a tensor at the boundary has no batch axis."""
    limits = [models[step.step.model].max_batch_size for step in steps]
    batching = [limit for limit in limits if limit > 0]
    boundary = [t for t in tensors.values() if t.producer < 0 or t.name in outputs]
    if not batching or any(t.shape[:1] != (-1,) or len(t.shape) < 2 for t in boundary):
        return 0
    return min(batching)
