"""From what a person types or has on disk to a tensor: JSON, .npy files, images and other bytes."""

from __future__ import annotations

import base64
import binascii
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.backends.client.base import TensorSpec
from tritonsmith.backends.client.tensors import Array, bf16_bits, bf16_values
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import UsageError

MAX_FP64 = int(np.finfo(np.float64).max)
MAX_BF16 = float(bf16_values(np.array([0x7F7F], np.uint16))[0])  # the bits below infinity's


def read_value(text: str, spec: TensorSpec, folder: Path = Path()) -> Array:
    """Return the array for one `--input`'s text: JSON, or `@FILE` (.npy, .json; for BYTES any file's bytes).

    Raises: UsageError naming the input, the value and what the model expects.
    """
    if text.startswith("@"):
        return _read_file(folder / text[1:], spec)
    if spec.datatype == "BYTES":
        return _to_array(_json_or_text(text), spec)
    try:
        value = parse_json(text)
    except ValueError as problem:
        raise _unfit(spec, f"{_short(text)} is not JSON ({problem})", "write a number, a list, or @file.npy") from None
    return _to_array(value, spec)


def from_json(value: Any, spec: TensorSpec, folder: Path = Path()) -> Array:
    """Return the array for a value of `--inputs FILE`; a string "@FILE" reads that file."""
    if isinstance(value, str) and value.startswith("@"):
        return _read_file(folder / value[1:], spec)
    return _to_array(value, spec)


def parse_json(text: str) -> Any:
    """Return what JSON says; NaN and Infinity are taken too, as json writes them.

    A number that even FP64 cannot hold is a Decimal: json would make it infinity.
    """
    return json.loads(text, parse_float=_number_of)


def shaped(array: Array, spec: TensorSpec, *, is_batched: bool) -> Array:
    """Return the array with the dimensions that the model expects, the batch dimension added where it is left out.

    Raises: UsageError where no reading of the array fits.
    """
    missing = len(spec.shape) - array.ndim
    candidates = [array]
    if missing > 0:
        if is_batched:
            candidates.append(array.reshape((1, *array.shape)))
            candidates.append(array.reshape((*array.shape, *(1,) * missing)))  # ["a", "b"] for [-1, 1]: two rows
        if array.ndim == 0:
            candidates.append(array.reshape((1,) * len(spec.shape)))
    for candidate in candidates:
        if _fits(candidate.shape, spec.shape):
            return candidate
    batch = " (the first is the batch)" if is_batched else ""
    raise _unfit(
        spec, f"the value has shape {list(array.shape)}", f"expected {list(spec.shape)}, -1 is any size{batch}"
    )


def _read_file(path: Path, spec: TensorSpec) -> Array:
    try:
        if path.suffix == ".npy":
            return _cast(np.load(path, allow_pickle=False), spec)
        if path.suffix == ".json":
            return _to_array(parse_json(path.read_text(encoding="utf-8")), spec)
        data = path.read_bytes()
    except (OSError, ValueError, EOFError) as problem:
        raise _unfit(
            spec, f"cannot read {path}: {problem}", "name a file that exists, and is what its ending says"
        ) from None
    if spec.datatype != "BYTES":
        raise _unfit(spec, f"{path} is neither .npy nor .json", "only BYTES inputs take a file's bytes as they are")
    return _objects(data)


def _json_or_text(text: str) -> Any:
    """Return what a BYTES value means: JSON strings and lists of them as such, anything else the text itself.

    So a list of chat messages is a text as it stands, though it is JSON too.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if _is_strings(value) else text


def _is_strings(value: Any) -> bool:
    """Whether a value is a string, {"b64": ...} for one, or nested lists of them."""
    if isinstance(value, list):
        return all(map(_is_strings, value))
    return isinstance(value, str) or (isinstance(value, dict) and set(value) == {"b64"})


def _to_array(value: Any, spec: TensorSpec) -> Array:
    if spec.datatype == "BYTES":
        return _strings(value, spec)
    try:
        array = np.array(value)
        if array.dtype == object and all(isinstance(item, int | float | Decimal) for item in array.flat):
            array = _beyond_64_bits(array, spec)
    except ValueError:
        raise _unfit(spec, "the lists have unequal lengths", "a tensor is rectangular") from None
    return _cast(array, spec)


def _beyond_64_bits(array: Array, spec: TensorSpec) -> Array:
    """Return numbers that numpy has no type for as FP64, which holds whole ones up to 1.8e308."""
    for number in array.flat:
        if isinstance(number, Decimal) or (isinstance(number, int) and abs(number) > MAX_FP64):
            raise _out_of_range(str(number), spec)
    return array.astype(np.float64)


def _number_of(text: str) -> float | Decimal:
    return Decimal(text) if math.isinf(number := float(text)) else number


def _strings(value: Any, spec: TensorSpec) -> Array:
    """Return an object array of bytes from nested lists of strings; {"b64": ...} stands for bytes."""
    if isinstance(value, list):
        parts = [_strings(item, spec) for item in value]
        if len({part.shape for part in parts}) > 1:
            raise _unfit(spec, "the lists have unequal lengths", "a tensor is rectangular")
        return np.stack(parts) if parts else np.empty(0, dtype=object)
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return _objects(base64.b64decode(value["b64"], validate=True))
        except (binascii.Error, TypeError) as problem:
            raise _unfit(spec, f"bad base64: {problem}", 'write {"b64": "..."}') from None
    if not isinstance(value, str):
        raise _unfit(spec, f"{_short(value)} is not a string", 'BYTES takes "text", ["a", "b"] or {"b64": "..."}')
    return _objects(value.encode())


def _objects(element: bytes) -> Array:
    array: Array = np.empty((), dtype=object)
    array[()] = element
    return array


def _cast(array: Array, spec: TensorSpec) -> Array:
    """Return the array in the model's type; nothing is cut off or wrapped around on the way."""
    if spec.datatype == "BYTES":
        if array.dtype.kind not in "SU":
            raise _unfit(spec, f"the file holds {array.dtype}", "save an array of strings, or give text")
        return (np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array).astype(object)
    if spec.datatype == "BF16":
        return array if array.dtype == np.uint16 else _float(_number(array, spec), np.dtype(np.float32), spec)
    target = np.dtype(BY_WIRE[spec.datatype].numpy)
    if target.kind == "b":
        if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
            raise _unfit(spec, f"{_short(array.tolist())} is not true or false", "write true, false, 0 or 1")
        return array.astype(bool)
    array = _number(array, spec)
    if target.kind in "iu":
        return _whole(array, target, spec)
    return _float(array, target, spec)


def _number(array: Array, spec: TensorSpec) -> Array:
    if array.dtype.kind not in "biuf":
        raise _unfit(spec, f"{_short(array.tolist())} is not numeric", "write numbers or lists of numbers")
    return array


def _whole(array: Array, target: np.dtype[Any], spec: TensorSpec) -> Array:
    """Return whole numbers in an integer type, if all of them are whole and within its range."""
    limits = np.iinfo(target)
    if array.dtype.kind == "f" and not (np.isfinite(array) & (np.floor(array) == array)).all():
        raise _unfit(spec, f"{_short(array.tolist())} is not whole", "write whole numbers")
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise _out_of_range(array.tolist(), spec)
    return array.astype(target)


def _float(array: Array, target: np.dtype[Any], spec: TensorSpec) -> Array:
    """Return numbers in a floating-point type, rounded, if none of them becomes infinite by that."""
    with np.errstate(over="ignore"):  # that is what is looked for
        cast = array.astype(target)
    seen = bf16_values(bf16_bits(cast)) if spec.datatype == "BF16" else cast
    numbers = array.ravel()
    if lost := numbers[np.isinf(seen.ravel()) & np.isfinite(numbers)].tolist():
        raise _out_of_range(lost[0], spec)
    return cast


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (-1, n) for n, e in zip(shape, expected, strict=True))


def _unfit(spec: TensorSpec, problem: str, remedy: str) -> UsageError:
    return UsageError(problem, where=f"input '{spec.name}' ({spec.datatype} {list(spec.shape)})", hint=remedy)


def _out_of_range(value: object, spec: TensorSpec) -> UsageError:
    return _unfit(
        spec, f"{_short(value)} is out of range", f"{spec.datatype} holds {' to '.join(_range(spec.datatype))}"
    )


def _range(datatype: str) -> tuple[str, str]:
    """Return the least and the greatest number of a type, as text."""
    if datatype == "BF16":
        return f"-{MAX_BF16:g}", f"{MAX_BF16:g}"
    target = np.dtype(BY_WIRE[datatype].numpy)
    limits = np.iinfo(target) if target.kind in "iu" else np.finfo(target)
    return (str(limits.min), str(limits.max)) if target.kind in "iu" else (f"{limits.min:g}", f"{limits.max:g}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
