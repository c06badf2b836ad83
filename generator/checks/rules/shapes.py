"""Element counts and sizes as Triton counts them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from posixpath import normpath

from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.repository.core import Content, Model

NOT_COUNTED = -1  # a variable dim is among them
LARGEST = 2**63 - 1
SIZED_SINCE = "26.03"  # Triton refuses dims below -1 and counts beyond 64 bits; before, they wrapped around (core#475)
_LARGEST_MEMORY_BYTES = 2**40  # more than any server has


def count_elements(dims: Sequence[int]) -> int:
    """Return how many elements dims hold: -1 where one is variable, 0 where there are none, wrapped around at 2^63.

    Source: common: model_config.cc (GetElementCount).
    """
    if not dims:
        return 0
    if -1 in dims:
        return NOT_COUNTED
    count = prod(dims)
    return count if abs(count) <= LARGEST else (count + 2**63) % 2**64 - 2**63


def element_counts(dims: Sequence[int]) -> list[int]:
    """Return the element counts of the chunks between variable dims: of [2, 4, -1, 6] 8 and 6.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    counts = [1]
    for dim in dims:
        if dim == -1:
            counts.append(1)
        else:
            counts[-1] *= dim
    return counts


def is_overflowing(dims: Sequence[int]) -> bool:
    """Whether dims hold more elements than 64 bits count; the newer releases refuse such (core#475)."""
    return bool(dims) and -1 not in dims and prod(dims) > LARGEST


def size_bytes(data_type: int, dims: Sequence[int]) -> int:
    """Return how many bytes a tensor takes; an element of unknown size, a string's too, takes 4.

    Source: core: backend_model_instance.cc (GenerateWarmupData).
    """
    known = BY_NUMBER.get(data_type)
    return count_elements(dims) * (known.size_bytes if known else 0) or count_elements(dims) * 4


def can_be_allocated(data_type: int, dims: Sequence[int]) -> bool:
    """Whether a server can have the memory that a tensor takes; one of variable size takes none yet."""
    return -1 in dims or 0 <= size_bytes(data_type, dims) <= _LARGEST_MEMORY_BYTES


def size_of_file(model: Model, folder: str, name: str) -> int | None:
    """Return the size of a file in a folder of the model's; None where it is not among the model's files."""
    file = model.files.get(normpath(f"{folder}/{name}"))
    if file is None:
        return None
    if isinstance(file, Content):
        return len(file.data)
    try:
        return file.path.stat().st_size
    except OSError:
        return None
