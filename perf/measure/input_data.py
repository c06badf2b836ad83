"""perf_analyzer's input-data JSON, from arrays and back."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.backends.client.base import TensorSpec
from tritonsmith.backends.client.infer import Target
from tritonsmith.backends.client.tensors import Array, bf16_bits, decode, decode_strings
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.files import write_by_rename

INPUT_NAME = "input.json"  # in a sweep's folder, where no file of the user's is measured with
Row = Mapping[str, Array]  # without a batch axis; BF16 as its bits


def write_input_data(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows for perf_analyzer, which uses them round-robin; each is one request's tensors without a batch axis.

    Everything goes as base64: the only form that 2.51 takes for every data type. Arrays of bytes or str objects are
    BYTES tensors; an image is `np.array([png_bytes], dtype=object)`.
    """
    data = [{name: _tensor(array) for name, array in row.items()} for row in rows]
    return write_by_rename(path, json.dumps({"data": data}).encode())


def require_input_data(path: Path) -> None:
    """Refuse a file that perf_analyzer would refuse as a whole.

    Raises: UsageError where it cannot be read, is no JSON, or has no rows.
    """
    hint = 'perf_analyzer reads {"data": [{"INPUT": [values, ...]}, ...]}; or use --input NAME=VALUE'
    try:
        document = json.loads(path.read_bytes())
    except OSError as problem:
        raise UsageError(f"no input data in {path}: {problem.strerror}", hint=hint) from None
    except ValueError as problem:
        raise UsageError(f"{path} is not JSON: {problem}", hint=hint) from None
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{path} has no rows of input data", hint=hint)


def read_rows(path: Path, target: Target, most: int) -> list[Row]:
    """Return the first rows, at most so many, as perf_analyzer reads them: none where they are sequences.

    Plain values are flat: they take the shape that the row says, else the model's own.

    Raises: UsageError where a value does not fit the model's tensor.
    """
    require_input_data(path)
    rows = json.loads(path.read_bytes())["data"][:most]
    if not all(isinstance(row, Mapping) for row in rows):  # a list of rows is a sequence
        return []
    specs = {spec.name: spec for spec in target.metadata.inputs}
    return [
        {name: _read_tensor(value, specs[name], target, path) for name, value in row.items() if name in specs}
        for row in rows
    ]


def _tensor(array: Array) -> dict[str, Any]:
    return {"content": {"b64": base64.b64encode(_raw(array)).decode("ascii")}, "shape": list(array.shape)}


def _raw(array: Array) -> bytes:
    """Return a tensor's bytes; each element of a BYTES tensor goes behind its length.

    2.51 hands b64 content to the server as it is, so without the length the first four bytes of an image are taken
    for one: "incomplete string data for inference input, expecting string of length 1196314761".
    """
    if array.dtype.kind not in "OSU":
        return np.ascontiguousarray(array).tobytes()
    elements = [value.encode() if isinstance(value, str) else bytes(value) for value in array.ravel().tolist()]
    return b"".join(struct.pack("<I", len(value)) + value for value in elements)


def _read_tensor(value: Any, spec: TensorSpec, target: Target, path: Path) -> Array:
    given = value if isinstance(value, Mapping) else {"content": value}
    content = given.get("content", given)  # {"b64": ...} may stand alone
    own = spec.shape[1:] if target.is_batched else spec.shape
    try:
        values = _decoded(content, spec.datatype) if isinstance(content, Mapping) else _listed(content, spec.datatype)
        array = values.reshape([int(size) for size in given.get("shape", own)])
    except (KeyError, TypeError, ValueError, OverflowError, ServerError, struct.error) as problem:
        said = f"no value for input '{spec.name}', {spec.datatype} {list(own)}: {problem}"
        raise UsageError(
            said, where=str(path), hint='write [values, ...] or {"content": ..., "shape": [...]}'
        ) from None
    return bf16_bits(array) if spec.datatype == "BF16" else array


def _decoded(content: Mapping[str, Any], datatype: str) -> Array:
    raw = base64.b64decode(content["b64"])
    if datatype == "BYTES":
        return decode(raw, datatype, [len(decode_strings(raw))])
    return decode(raw, datatype, [len(raw) // np.dtype(BY_WIRE[datatype].numpy).itemsize])


def _listed(content: Any, datatype: str) -> Array:
    flat = content if isinstance(content, list) else [content]
    if datatype == "BYTES":
        return np.array([str(one).encode() for one in np.ravel(flat)], dtype=object)
    return np.array(flat, dtype=np.float32 if datatype == "BF16" else np.dtype(BY_WIRE[datatype].numpy))
