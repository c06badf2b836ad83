"""Element counts as Triton counts them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

NOT_COUNTED = -1  # a variable dim is among them
LARGEST = 2**63 - 1


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
