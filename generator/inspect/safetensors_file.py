"""What a safetensors file holds, read from its header; weights are never loaded.

Source: https://huggingface.co/docs/safetensors (format: 8 bytes of length, a JSON header, the tensors' bytes).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tritonsmith.generator.errors import SpecError

LARGEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, or of several: how many parameters, how many bytes, and which types."""

    parameters: int = 0
    size_bytes: int = 0
    data_types: frozenset[str] = frozenset()  # the format's names: F32, F16, BF16, F8_E4M3, ...

    def __add__(self, other: Weights) -> Weights:
        return Weights(
            self.parameters + other.parameters,
            self.size_bytes + other.size_bytes,
            self.data_types | other.data_types,
        )


def read_weights(path: Path) -> Weights:
    """Return what a file holds.

    Raises: SpecError where it is missing, no safetensors file, or shorter than its header says.
    """
    try:
        if not path.is_file():
            raise SpecError("no weights are there, or it is no regular file", where=str(path))
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if not 2 <= length <= min(LARGEST_HEADER_BYTES, size - 8):
                raise _bad(path, f"{size:,} bytes are no safetensors file")
            header = json.loads(file.read(length))
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
        parameters = sum(prod(tensor["shape"]) for tensor in tensors.values())
        types = frozenset(str(tensor["dtype"]) for tensor in tensors.values())
    except OSError as problem:
        raise SpecError(f"cannot read the weights: {problem.strerror}", where=str(path)) from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _bad(path, "the header of the safetensors file cannot be understood") from None
    if 8 + length + end > size:
        raise _bad(path, f"the file has {size:,} bytes, its header speaks of {8 + length + end:,}")
    return Weights(parameters, end, types)


def _bad(path: Path, message: str) -> SpecError:
    return SpecError(message, where=str(path), hint="copy it again; `git lfs pull` where it is a Git LFS pointer")
