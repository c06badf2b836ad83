"""Quantiles of Student's t, without scipy."""

from __future__ import annotations

import math
from functools import lru_cache


@lru_cache(maxsize=256)
def quantile(share: float, freedom: int) -> float:
    """Return the value below which Student's t with so many degrees of freedom lies with this chance (0.5 to 1)."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if chance_below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def chance_below(value: float, freedom: int) -> float:
    """Return the chance that Student's t lies below a value of at least 0.

    A finite sum in the angle atan(value / sqrt(freedom)). Source: Abramowitz, Stegun (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(value / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    is_odd = freedom % 2 == 1
    term, total = (cosine, 0.0) if is_odd else (1.0, 0.0)
    for number in range(2 if is_odd else 1, freedom, 2):
        total += term
        term *= cosine**2 * number / (number + 1)
    inside = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return 0.5 + inside / 2
