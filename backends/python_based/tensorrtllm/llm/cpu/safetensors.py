"""Read tensors from safetensors files, without a dependency and without copying what stays fp32.

A file is the header's length (8 bytes, little endian), the header (JSON: name -> dtype, shape, data_offsets), the data.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import EngineError

Weights = npt.NDArray[np.float32]
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_STORED: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's bytes lie."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file

    def read(self) -> Weights:
        """Return the tensor as fp32: mapped from the file where it is stored so, else widened into memory."""
        raw: npt.NDArray[Any] = np.memmap(self.path, _STORED[self.dtype], "r", self.start, self.shape)
        if self.dtype == "BF16":  # the upper half of an fp32
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        widened: Weights = np.asarray(raw, np.float32)
        return widened


def find_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a Hugging Face folder by name, from one file or from those that its index names.

    Raises: EngineError where a file is missing, damaged, or holds a type that is no fp32, fp16 or bf16.
    """
    if (folder / SINGLE).is_file():
        return _tensors_of(folder / SINGLE)
    if not (folder / INDEX).is_file():
        raise EngineError(f"{folder}: there is neither {SINGLE} nor {INDEX}")
    try:
        files = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as problem:
        raise EngineError(f"{folder / INDEX}: no weight_map in it ({problem})") from None
    return {name: tensor for file in sorted(files) for name, tensor in _tensors_of(folder / Path(file).name).items()}


def _tensors_of(path: Path) -> dict[str, StoredTensor]:
    header, data = _header(path)
    size = path.stat().st_size
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        tensor = _stored(path, name, entry, data)
        if tensor.start + int(np.prod(tensor.shape)) * _STORED[tensor.dtype].itemsize > size:
            raise EngineError(f"{path}: {name} ends beyond the file's {size} bytes: it is cut off")
        found[name] = tensor
    return found


def _header(path: Path) -> tuple[Mapping[str, Any], int]:
    """Return the header, and where the data begins."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LONGEST_HEADER:
                raise EngineError(f"{path}: a header of {length} bytes; this is no safetensors file")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise EngineError(f"{path}: cannot be read as safetensors (its header is no object)")
    except (OSError, struct.error, ValueError) as problem:
        if isinstance(problem, EngineError):
            raise
        raise EngineError(f"{path}: cannot be read as safetensors ({problem})") from None
    return header, 8 + length


def _stored(path: Path, name: str, entry: Mapping[str, Any], data: int) -> StoredTensor:
    try:
        dtype, shape, (start, end) = entry["dtype"], tuple(map(int, entry["shape"])), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise EngineError(f"{path}: {name} has no dtype, shape and data_offsets") from None
    if dtype not in _STORED:
        raise EngineError(f"{path}: {name} is {dtype}; the CPU engine takes {', '.join(_STORED)}")
    if end - start != int(np.prod(shape)) * _STORED[dtype].itemsize:
        raise EngineError(f"{path}: {name} has {end - start} bytes, its shape {list(shape)} needs another number")
    return StoredTensor(path, dtype, shape, data + start)
