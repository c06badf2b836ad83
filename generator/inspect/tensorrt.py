"""What Triton must know of a TensorRT plan, read with `tensorrt` where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.datatypes import DATATYPES
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.files import read_regular
from tritonsmith.generator.inspect.onnx import OnnxFacts, OnnxTensor

# tensorrt.DataType's names as Triton's. Source: tensorrt_backend: tensorrt_utils.cc (ConvertTrtTypeToDataType).
_TYPES = {
    "BOOL": "TYPE_BOOL",
    "UINT8": "TYPE_UINT8",
    "INT8": "TYPE_INT8",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "HALF": "TYPE_FP16",
    "FLOAT": "TYPE_FP32",
    "BF16": "TYPE_BF16",
}


@dataclass(frozen=True)
class PlanFacts:
    """A plan's tensors, as those of a graph; `shape_tensors` are inputs and outputs whose values are shapes."""

    graph: OnnxFacts
    shape_tensors: frozenset[str]


def read_plan(path: Path) -> PlanFacts | None:
    """Return a plan's inputs and outputs, None where tensorrt is not installed.

    Raises: SpecError where the plan cannot be deserialised (another TensorRT version or GPU, a broken file, no GPU
    here), or has a tensor of a type that Triton lacks.
    """
    try:
        import tensorrt
    except (ImportError, OSError):  # OSError: its libraries are not there
        return None
    engine = _engine(tensorrt, path)
    tensors = list(_tensors(tensorrt, engine, path))
    graph = OnnxFacts(
        path=path,
        inputs=tuple(tensor for is_input, tensor in tensors if is_input),
        outputs=tuple(tensor for is_input, tensor in tensors if not is_input),
        overridable=(),
        external=(),
        ir_version=0,
        opset=0,
        findings=(),
    )
    names = [tensor.name for _, tensor in tensors]
    return PlanFacts(graph, frozenset(name for name in names if engine.is_shape_inference_io(name)))


def _engine(tensorrt: Any, path: Path) -> Any:
    hint = (
        "a plan runs on the TensorRT version and GPU it was built for: build it again, or write the spec on a machine "
        "without tensorrt, with input and output in it"
    )
    try:
        plan = read_regular(path)
        engine = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR)).deserialize_cuda_engine(plan)
    except OSError as problem:
        raise SpecError(f"cannot read the plan: {problem.strerror}", where=str(path)) from None
    except (TypeError, RuntimeError) as problem:  # pybind11's, where the machine has no usable GPU
        message = f"TensorRT {tensorrt.__version__} does not work on this machine: {problem}"
        raise SpecError(message, where=str(path), hint=hint) from None
    if engine is None:
        message = f"TensorRT {tensorrt.__version__} cannot deserialise the plan"
        raise SpecError(message, where=str(path), hint=hint)
    return engine


def _tensors(tensorrt: Any, engine: Any, path: Path) -> Iterator[tuple[bool, OnnxTensor]]:
    """Yield whether a tensor is an input, and the tensor."""
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = engine.get_tensor_dtype(name).name
        if kind not in _TYPES:
            message = f"tensor '{name}' has TensorRT type {kind}, which Triton lacks"
            raise SpecError(message, where=str(path), hint=f"Triton has {', '.join(_TYPES)}")
        is_input = engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
        yield is_input, OnnxTensor(name, DATATYPES[_TYPES[kind]], tuple(engine.get_tensor_shape(name)))
