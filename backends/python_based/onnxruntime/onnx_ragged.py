"""Ragged batching: inputs of unequal shapes laid end to end, what tells them apart, and outputs cut back to shape.

Source: backend r24.10, backend_input_collector.cc (BatchInputShape, ProcessBatchInput),
backend_output_responder.cc (ProcessBatchOutput).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Config = Mapping[str, Any]


def ragged_names(config: Config) -> frozenset[str]:
    """Inputs that `allow_ragged_batch`."""
    return frozenset(tensor["name"] for tensor in config.get("input", ()) if tensor.get("allow_ragged_batch"))


def batch_inputs(config: Config, requests: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The tensors that `batch_input` asks for, made from the inputs of each request of a batch."""
    made: dict[str, Array] = {}
    for batch_input in config.get("batch_input", ()):
        dtype = np.float32 if batch_input.get("data_type") == "TYPE_FP32" else np.int32
        shapes = [inputs[batch_input["source_input"][0]].shape for inputs in requests]
        value = _batch_input(batch_input.get("kind", "BATCH_ELEMENT_COUNT"), shapes).astype(dtype)
        made.update(dict.fromkeys(batch_input["target_name"], value))
    return made


def _batch_input(kind: str, shapes: Sequence[tuple[int, ...]]) -> Array:
    """`shapes` are the source input's, one per request, the batch axis first."""
    counts = np.array([int(np.prod(shape, dtype=np.int64)) for shape in shapes])
    if kind == "BATCH_ELEMENT_COUNT":
        return counts
    if kind == "BATCH_ACCUMULATED_ELEMENT_COUNT":
        return np.cumsum(counts)
    if kind == "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO":
        return np.concatenate([[0], np.cumsum(counts)])
    if kind == "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE":
        return np.zeros(counts.max())  # only its length says something
    rows = np.array([shape[1:] for shape in shapes for _ in range(shape[0])])  # [rows, axes but the first]
    return rows.ravel() if kind == "BATCH_ITEM_SHAPE_FLATTEN" else rows


def scatter_targets(config: Config) -> dict[str, tuple[str, tuple[int, ...]]]:
    """For each batch output: the input that gives its shape, and its own shape with -1 where the input's goes in."""
    outputs = {tensor["name"]: tensor for tensor in config.get("output", ())}
    leading = (-1,) if config.get("max_batch_size", 0) > 0 else ()
    targets = {}
    for batch_output in config.get("batch_output", ()):
        name = batch_output["target_name"][0]
        reshape = outputs[name].get("reshape")
        dims = outputs[name]["dims"] if reshape is None else reshape.get("shape", ())
        targets[name] = (batch_output["source_input"][0], (*leading, *(int(dim) for dim in dims)))
    return targets


def scatter(flat: Array, shape: tuple[int, ...], sources: Sequence[Array]) -> list[Array]:
    """Cuts `flat` into one array per request: `shape`, its -1 replaced by the same axis of that request's source."""
    flat = flat.reshape(-1)
    parts, start = [], 0
    for source in sources:
        own = tuple(source.shape[axis] if dim == -1 else dim for axis, dim in enumerate(shape))
        end = start + int(np.prod(own, dtype=np.int64))
        parts.append(flat[start:end].reshape(own))
        start = end
    return parts
