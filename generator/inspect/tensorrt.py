"""What Triton must know of a TensorRT plan, read with `tensorrt` where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.errors import SpecError

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
class PlanTensor:
    """An input or output of a plan; `shape` holds every axis, -1 where it is dynamic."""

    name: str
    data_type: str
    shape: tuple[int, ...]
    is_input: bool


def read_plan(path: Path) -> list[PlanTensor] | None:
    """Return a plan's inputs and outputs, None where tensorrt is not installed.

    Raises: SpecError where the plan cannot be deserialised (another TensorRT version or GPU, or a broken file).
    """
    try:
        import tensorrt
    except ImportError:
        return None
    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise SpecError(
            f"TensorRT {tensorrt.__version__} cannot deserialise the plan",
            where=str(path),
            hint="a plan runs on the TensorRT version and GPU it was built for: build it again, or give inputs and "
            "outputs in the spec on a machine without tensorrt",
        )
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [_tensor(tensorrt, engine, name, path) for name in names]


def _tensor(tensorrt: object, engine: object, name: str, path: Path) -> PlanTensor:
    kind = engine.get_tensor_dtype(name).name  # type: ignore[attr-defined]
    if kind not in _TYPES:
        raise SpecError(f"tensor '{name}' has TensorRT type {kind}, which Triton lacks", where=str(path))
    mode = engine.get_tensor_mode(name)  # type: ignore[attr-defined]
    shape = tuple(engine.get_tensor_shape(name))  # type: ignore[attr-defined]
    return PlanTensor(name, _TYPES[kind], shape, mode == tensorrt.TensorIOMode.INPUT)  # type: ignore[attr-defined]
