"""How many bytes an ONNX graph's weights and tensors have, at a batch size; weights are never loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from onnx import ModelProto, ValueInfoProto
from onnx.shape_inference import infer_shapes

from tritonsmith.generator.catalog.datatypes import BY_ONNX
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.inspect.onnx import parse_onnx

_EIGHT_BITS = 1  # bytes of a type that Triton lacks: those that are left have 8 bits and fewer
_WIDE = {14: 8, 15: 16}  # COMPLEX64, COMPLEX128


@dataclass(frozen=True)
class OnnxSizes:
    """Bytes of a graph: `weights`, and the most that its tensors take at one time while its nodes run in order.

    `unknown` of the `tensors` between its nodes have no shape that follows from the inputs'; they are not in `peak`.
    """

    weights: int
    peak: int
    tensors: int
    unknown: int


def read_onnx_sizes(path: Path, *, batch_size: int = 1, axes: Mapping[str, int] | None = None) -> OnnxSizes:
    """Return a file's sizes; `axes` gives the open ones by the name that the graph gives them ("sequence").

    Raises: SpecError where it is no ONNX model; UsageError where the size of an open axis is not given.
    """
    model = parse_onnx(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in weights:
            _close(value, batch_size, axes or {}, path)
    inferred = infer_shapes(model, data_prop=True)
    sizes = {value.name: _bytes(value) for value in _values(inferred)}
    between = [name for node in inferred.graph.node for name in node.output if name]
    return OnnxSizes(
        weights=sum(prod(tensor.dims) * _width(tensor.data_type) for tensor in model.graph.initializer),
        peak=_peak(inferred, {name: size for name, size in sizes.items() if size is not None and name not in weights}),
        tensors=len(between),
        unknown=sum(sizes.get(name) is None for name in between),
    )


def _close(value: ValueInfoProto, batch_size: int, axes: Mapping[str, int], path: Path) -> None:
    """Give an input's open axes their sizes: the first is the batch."""
    for index, axis in enumerate(value.type.tensor_type.shape.dim):
        if axis.HasField("dim_value") and axis.dim_value > 0:
            continue
        name = axis.dim_param or str(index)
        size = axes.get(name, batch_size if index == 0 else 0)
        if size < 1:
            message = f"axis '{name}' of input '{value.name}' is open: {path} does not say how long it is"
            raise UsageError(message, hint=f"give its size: {name}=...")
        axis.dim_value = size


def _values(model: ModelProto) -> Iterable[ValueInfoProto]:
    yield from model.graph.input
    yield from model.graph.value_info
    yield from model.graph.output


def _bytes(value: ValueInfoProto) -> int | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or any(not axis.HasField("dim_value") for axis in tensor.shape.dim):
        return None
    return prod(axis.dim_value for axis in tensor.shape.dim) * _width(tensor.elem_type)


def _width(kind: int) -> int:
    return BY_ONNX[kind].size_bytes if kind in BY_ONNX else _WIDE.get(kind, _EIGHT_BITS)


def _peak(model: ModelProto, sizes: Mapping[str, int]) -> int:
    """Return the most bytes that live at one time: a tensor lives from its node to its last reader, outputs longer."""
    last = {name: index for index, node in enumerate(model.graph.node) for name in node.input}
    kept = {value.name for value in model.graph.output}
    living = {value.name for value in model.graph.input if value.name in sizes}
    peak = 0
    for index, node in enumerate(model.graph.node):
        living.update(name for name in node.output if name in sizes)
        peak = max(peak, sum(sizes[name] for name in living))
        living -= {name for name in (*node.input, *node.output) if last.get(name, -1) <= index and name not in kept}
    return peak
