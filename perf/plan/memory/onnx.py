"""Where the memory of a GPU goes that serves an ONNX or TensorRT model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.onnx_size import OnnxSizes, read_onnx_sizes
from tritonsmith.perf.plan.core import Figure, Memory, Part, Spread, exact, total
from tritonsmith.perf.plan.memory.overheads import driver_part, runtime_parts

_PLANS = (".plan", ".engine", ".trt")
MODEL_FILES = (".onnx", *_PLANS)
# ONNX Runtime's arena grows by powers of two (arena_extend_strategy, kNextPowerOfTwo), and its CUDA provider tries
# cuDNN's kernels with as much work space as they ask for (cudnn_conv_use_max_workspace).
# Source: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
_ARENA_MOST = 2.0
_WORK_SPACE_BYTES = 256 * 2**20
# A plan's file does not say what its execution needs: a guess in shares of its size, and told as one.
_PLAN_LEAST, _PLAN_LIKELY, _PLAN_MOST = 0.02, 0.3, 2.0


def model_parts(
    path: Path, *, batch_size: int = 1, instances: int = 1, axes: Mapping[str, int] | None = None
) -> tuple[Part, ...]:
    """Return what a model's instances take on one GPU, without what the server takes once for all models.

    Each instance of an ONNX model has weights of its own; those of a plan share them on a GPU.
    Source: onnxruntime_backend: src/onnxruntime.cc (a session per instance); tensorrt_backend: src/model_state.cc (an
    engine per GPU).

    Raises: SpecError for a file that is neither; UsageError where the size of an open axis is not given.
    """
    if path.suffix in _PLANS:
        return _plan_parts(path, instances)
    sizes = read_onnx_sizes(path, batch_size=batch_size, axes=axes)
    value = float(sizes.weights * instances)
    arithmetic = f"{sizes.weights:,} B of initializers x {instances} sessions"
    weights = Part("weights", Figure(value, value, value * 1.1, f"{path.name}: its initializers"), arithmetic)
    return weights, _activations(sizes, batch_size, instances, path)


def onnx_memory(
    path: Path, gpu: Gpu, *, batch_size: int = 1, instances: int = 1, axes: Mapping[str, int] | None = None
) -> Memory:
    """Return what lies on a GPU that serves one ONNX or TensorRT model alone.

    Raises: SpecError for a file that is neither; UsageError where the size of an open axis is not given.
    """
    parts = (
        *model_parts(path, batch_size=batch_size, instances=instances, axes=axes),
        *runtime_parts(Spread()),
        driver_part(gpu),
    )
    taken, whole = total(parts, "the GPU's memory less all parts"), gpu.memory_bytes
    free = Figure(whole - taken.value, whole - taken.high, whole - taken.low, taken.source)
    return Memory(whole, parts, 0.0, 0.0, exact(0, "it keeps no KV cache"), free)


def _activations(sizes: OnnxSizes, batch_size: int, instances: int, path: Path) -> Part:
    """The most that tensors take at a time; what has no known shape may be as much again for each that is known."""
    value = float(sizes.peak * instances)
    unknown = sizes.unknown / max(1, sizes.tensors - sizes.unknown)
    high = (value * _ARENA_MOST + _WORK_SPACE_BYTES * instances) * (1 + unknown)
    told = f", {sizes.unknown} of {sizes.tensors} tensors unknown" if sizes.unknown else ""
    arithmetic = f"{sizes.peak:,} B at a time for a batch of {batch_size} x {instances} instances{told}"
    return Part("activations", Figure(value, value, high, f"{path.name}: shapes of its graph"), arithmetic)


def _plan_parts(path: Path, instances: int) -> tuple[Part, ...]:
    try:
        size = path.stat().st_size
    except OSError as problem:
        raise SpecError(f"cannot read the plan: {problem.strerror}", where=str(path)) from None
    if not size:
        raise SpecError("the plan is empty", where=str(path), hint="build or copy it again")
    source = f"{path.name}: its size"
    weights = Part("weights", Figure(size, size * 0.9, size * 1.1, source), f"{size:,} B of the plan, once for a GPU")
    least, likely, most = (share * size * instances for share in (_PLAN_LEAST, _PLAN_LIKELY, _PLAN_MOST))
    arithmetic = f"{_PLAN_LIKELY:g} x the plan x {instances} instances; {_PLAN_LEAST:g} to {_PLAN_MOST:g}"
    note = "a guess: the plan's own device_memory_size says it where TensorRT is installed"
    return weights, Part("activations", Figure(likely, least, most, note), arithmetic)
