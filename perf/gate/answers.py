"""Whether both sides answer the same: a faster candidate that answers wrongly is no improvement."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.backends.client.base import InferRequest, InferResponse, Tensor, connect
from tritonsmith.backends.client.infer import Target, find_target, send
from tritonsmith.backends.client.tensors import Array
from tritonsmith.perf.measure.input_data import Row, read_rows

ROWS = 8  # of the input data, which are asked of both sides
LIMIT_S = 60.0
Answers = list[list[dict[str, Array]]]  # by row, by response: outputs by name


def ask(grpc_url: str, model: str, input_data: Path) -> Answers:
    """Return a model's answers to the first rows of perf_analyzer's input data; none where the rows are sequences.

    Raises: ServerError where a request fails; UsageError for data that do not fit the model.
    """
    with connect(grpc_url, "grpc") as client:
        target = find_target(client, model)
        rows = read_rows(input_data, target, ROWS)
        requests = [_request_of(row, target, str(number)) for number, row in enumerate(rows, 1)]
        return [[_outputs(one) for one in send(client, [request], target, LIMIT_S)] for request in requests]


def find_difference(expected: Answers, got: Answers, tolerance: float) -> str:
    """Return the first difference in words, nothing where there is none.

    Numbers with a point may differ by `tolerance` of the largest in the expected tensor, everything else must be equal.
    """
    for row, (theirs, ours) in enumerate(zip(expected, got, strict=True), 1):
        if len(theirs) != len(ours):
            return f"row {row}: {len(ours)} responses instead of {len(theirs)}"
        for one, other in zip(theirs, ours, strict=True):
            if set(one) != set(other):
                return f"row {row}: outputs {', '.join(sorted(other))} instead of {', '.join(sorted(one))}"
            for name, array in one.items():
                said = _difference(array, other[name], tolerance)
                if said:
                    return f"row {row}, output '{name}': {said}"
    return ""


def pack(answers: Answers) -> list[Any]:
    """Return answers as plain JSON data."""
    return [[{name: _packed(array) for name, array in one.items()} for one in row] for row in answers]


def unpack(packed: list[Any]) -> Answers:
    """Return the answers that `pack` was given."""
    return [[{name: _unpacked(one) for name, one in response.items()} for response in row] for row in packed]


def _packed(array: Array) -> dict[str, Any]:
    if array.dtype.kind == "O":
        texts = [base64.b64encode(one).decode() for one in array.ravel().tolist()]
        return {"dtype": "object", "shape": list(array.shape), "texts": texts}
    raw = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "raw": raw}


def _unpacked(packed: Mapping[str, Any]) -> Array:
    if packed["dtype"] == "object":
        texts: Array = np.array([base64.b64decode(one) for one in packed["texts"]] + [None], dtype=object)[:-1]
        return texts.reshape(packed["shape"])
    return np.frombuffer(base64.b64decode(packed["raw"]), packed["dtype"]).reshape(packed["shape"])


def _difference(expected: Array, got: Array, tolerance: float) -> str:
    if expected.shape != got.shape or expected.dtype.kind != got.dtype.kind:
        return f"{got.dtype} {list(got.shape)} instead of {expected.dtype} {list(expected.shape)}"
    if expected.dtype.kind != "f":
        return "" if np.array_equal(expected, got) else "the values differ"
    one, other = expected.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return "NaN or infinity in other places"
    finite = np.isfinite(one)
    if not finite.any():
        return ""
    largest, apart = float(np.abs(one[finite]).max()), float(np.abs(one[finite] - other[finite]).max())
    return f"differs by {apart:.3g}, the largest value is {largest:.3g}" if apart > tolerance * largest else ""


def _outputs(response: InferResponse) -> dict[str, Array]:
    return {name: tensor.array for name, tensor in response.outputs.items()}


def _request_of(row: Row, target: Target, request_id: str) -> InferRequest:
    """Return the request that perf_analyzer makes of a row."""
    types = {spec.name: spec.datatype for spec in target.metadata.inputs}
    arrays = {name: array[None] if target.is_batched else array for name, array in row.items()}
    tensors = [Tensor(name, types[name], array) for name, array in arrays.items()]
    return InferRequest(target.metadata.name, tensors, id=request_id)
