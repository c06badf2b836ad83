"""Inputs made up for a model from what the server says of it: values that a model can take, not random bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tritonsmith.backends.client.tensors import Array
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import UsageError

MADE_UP_ROWS = 16


def made_up_rows(metadata: Mapping[str, Any], config: Mapping[str, Any], seed: int = 0) -> list[dict[str, Array]]:
    """Make up rows for a model: floats in [0, 1), integers 0 to 9, booleans, strings of 16 letters.

    perf_analyzer's own random data are random bits, floats of 1e31 among them: a softmax answers NaN to that, and
    a NaN empties perf_analyzer's export. An axis of unknown length gets length 1.

    Raises: UsageError for a data type without a numpy counterpart.
    """
    random = np.random.default_rng(seed)
    is_batched = int(config.get("max_batch_size", 0)) > 0
    optional = {entry["name"] for entry in config.get("input", []) if entry.get("optional")}
    tensors = [entry for entry in metadata["inputs"] if entry["name"] not in optional]
    return [{entry["name"]: _made_up(entry, is_batched, random) for entry in tensors} for _ in range(MADE_UP_ROWS)]


def _made_up(entry: Mapping[str, Any], is_batched: bool, random: np.random.Generator) -> Array:
    shape = [max(1, int(size)) for size in entry["shape"]][1 if is_batched else 0 :]
    wire = str(entry["datatype"])
    if wire == "BYTES":
        letters = random.integers(97, 123, (*shape, 16), dtype=np.uint8)
        return np.array([row.tobytes() for row in letters.reshape(-1, 16)], dtype=object).reshape(shape)
    if wire == "BF16":  # the upper half of a float32
        return np.asarray(random.random(shape, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)
    numpy_type = np.dtype(BY_WIRE[wire].numpy) if wire in BY_WIRE else None
    if numpy_type is None:
        raise UsageError(f"input '{entry['name']}' has data type {wire}; no values can be made up for it")
    if numpy_type.kind == "f":
        return random.random(shape).astype(numpy_type)
    return random.integers(0, 2 if numpy_type.kind == "b" else 10, shape).astype(numpy_type)
