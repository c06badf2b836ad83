"""Where a configuration and an ONNX graph differ, in the order in which Triton's onnxruntime backend looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import (
    DataType,
    ModelConfig,
    ModelInput,
    ModelOutput,
    ModelSequenceBatching,
)

from tritonsmith.generator.checks.rules.enums import enum_name

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.onnx import OnnxFacts, OnnxTensor

_Control = ModelSequenceBatching.Control
_KINDS = (
    _Control.CONTROL_SEQUENCE_START,
    _Control.CONTROL_SEQUENCE_END,
    _Control.CONTROL_SEQUENCE_READY,
    _Control.CONTROL_SEQUENCE_CORRID,
)


@dataclass(frozen=True)
class Mismatch:
    """One difference: which kind it is, the field's dotted path, and what differs."""

    kind: str
    path: str
    message: str


def mismatches(config: ModelConfig, facts: OnnxFacts) -> Iterator[Mismatch]:
    """Yield where a completed configuration and a graph differ.

    Source: onnxruntime_backend: src/onnxruntime.cc (ModelInstanceState, ValidateInputs, ValidateOutputs).
    """
    inputs = {tensor.name: tensor for tensor in facts.inputs}
    controls = list(_controls(config))
    expected = sum(not item.optional for item in config.input) + len(config.batch_input) + len(controls)
    expected += len(config.sequence_batching.state)
    for path, name, control in controls:
        yield from _control(config, path, name, control, inputs)
    if expected != len(inputs):
        yield Mismatch("count", "input", f"the configuration has {expected} inputs, the graph {len(inputs)}")
    inputs.update((tensor.name, tensor) for tensor in facts.overridable)
    for index, item in enumerate(config.input):
        yield from _input(config, f"input[{index}]", item, inputs)
    outputs = {tensor.name: tensor for tensor in facts.outputs}
    scattered = {name for batch in config.batch_output for name in batch.target_name}
    for index, output in enumerate(config.output):
        yield from _output(config, f"output[{index}]", output, outputs, is_scattered=output.name in scattered)


def _controls(config: ModelConfig) -> Iterator[tuple[str, str, ModelSequenceBatching.Control]]:
    for index, item in enumerate(config.sequence_batching.control_input):
        for control in item.control:
            if control.kind in _KINDS:
                yield f"sequence_batching.control_input[{index}]", item.name, control


def _control(
    config: ModelConfig,
    path: str,
    name: str,
    control: ModelSequenceBatching.Control,
    inputs: Mapping[str, OnnxTensor],
) -> Iterator[Mismatch]:
    tensor = inputs.get(name)
    if tensor is None:
        yield Mismatch("control", path, f"the graph has no input '{name}' for the sequence control")
        return
    dims = list(tensor.shape or ())[1 if config.max_batch_size > 0 else 0 :]
    if dims != [1]:
        yield Mismatch("control dims", path, f"sequence control '{name}' has dims {dims} in the graph, not [1]")
    said = _control_type(control)
    if tensor.datatype is not None and said != tensor.datatype.name:
        message = f"sequence control '{name}' is {said}, in the graph {tensor.datatype.name}"
        yield Mismatch("control type", path, message)


def _control_type(control: ModelSequenceBatching.Control) -> str:
    for field, name in (("int32", "TYPE_INT32"), ("fp32", "TYPE_FP32"), ("bool", "TYPE_BOOL")):
        if getattr(control, f"{field}_false_true"):
            return name
    return enum_name(DataType, control.data_type)


def _input(config: ModelConfig, path: str, item: ModelInput, inputs: Mapping[str, OnnxTensor]) -> Iterator[Mismatch]:
    tensor = inputs.get(item.name)
    if item.optional and config.max_batch_size > 0:
        yield Mismatch("optional", f"{path}.optional", f"input '{item.name}' is optional, and the model batches")
    if tensor is None:
        yield _unknown("input", path, item.name, inputs)
        return
    yield from _type("input", path, item, tensor)
    if not item.allow_ragged_batch:
        yield from _shape(config, path, item, tensor, is_exact=False)
    elif item.optional:
        message = f"input '{item.name}' is ragged, which an optional input cannot be"
        yield Mismatch("ragged optional", f"{path}.allow_ragged_batch", message)
    elif tensor.shape != (-1,):
        message = f"input '{item.name}' is ragged, and {_said(tensor)} in the graph, not [-1]"
        yield Mismatch("ragged", f"{path}.allow_ragged_batch", message)


def _output(
    config: ModelConfig, path: str, item: ModelOutput, outputs: Mapping[str, OnnxTensor], *, is_scattered: bool
) -> Iterator[Mismatch]:
    tensor = outputs.get(item.name)
    if tensor is None:
        yield _unknown("output", path, item.name, outputs)
        return
    yield from _type("output", path, item, tensor)
    if not is_scattered:  # its shape is made from an input's
        yield from _shape(config, path, item, tensor, is_exact=True)


def _unknown(kind: str, path: str, name: str, tensors: Mapping[str, OnnxTensor]) -> Mismatch:
    return Mismatch(f"{kind} name", path, f"the graph has no {kind} '{name}'; it has {', '.join(sorted(tensors))}")


def _type(kind: str, path: str, item: ModelInput | ModelOutput, tensor: OnnxTensor) -> Iterator[Mismatch]:
    if tensor.datatype is not None and item.data_type != tensor.datatype.number:
        message = f"{kind} '{item.name}' is {enum_name(DataType, item.data_type)}, in the graph {tensor.datatype.name}"
        yield Mismatch(f"{kind} type", f"{path}.data_type", message)


def _shape(
    config: ModelConfig, path: str, item: ModelInput | ModelOutput, tensor: OnnxTensor, *, is_exact: bool
) -> Iterator[Mismatch]:
    """Yield how the shapes differ; exact: where the graph's varies, the configuration's must."""
    dims = list(item.reshape.shape if item.HasField("reshape") else item.dims)
    path = f"{path}.{'reshape' if item.HasField('reshape') else 'dims'}"
    if not tensor.shape:
        if any(dim != 1 for dim in dims):
            yield Mismatch("scalar", path, f"'{item.name}' is a scalar in the graph, and has dims {dims}")
        return
    is_batching = config.max_batch_size > 0
    if is_batching and tensor.shape[0] != -1:
        message = f"max_batch_size is {config.max_batch_size}, and '{item.name}' is {_said(tensor)} in the graph"
        yield Mismatch("batch", "max_batch_size", f"{message}: its first axis does not vary")
        return
    full = [-1, *dims] if is_batching else dims
    if not _fits(tensor.shape, full, is_exact=is_exact):
        note = f" (dims {dims} after the batch)" if is_batching else ""
        message = f"'{item.name}' is {full}{note}, in the graph {_said(tensor)}"
        yield Mismatch("batched dims" if is_batching else "dims", path, message)


def _fits(shape: Sequence[int], given: Sequence[int], *, is_exact: bool) -> bool:
    if len(shape) != len(given):
        return False
    return all(axis == dim or (axis == -1 and not is_exact) for axis, dim in zip(shape, given, strict=True))


def _said(tensor: OnnxTensor) -> str:
    return str(list(tensor.shape or ()))
