"""How much error each look may spend, so that looking several times costs no more false verdicts than looking once.

The estimate after n of at most m pairs moves like a Brownian motion at time n / m. A spending function says how much
of the error may be used up by then; each look's own level follows by numerical integration over the paths that have
not crossed yet. Source: Armitage, McPherson, Rowe (1969); Lan, DeMets (1983); Jennison, Turnbull, chapters 7 and 19.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from tritonsmith.perf.statistics.signed_rank import Floats

LOOKS = (8, 12, 20, 32)  # after how many pairs
ERROR = 0.02  # of each kind of wrong verdict, one-sided, over all looks
GRID, REACH = 1201, 8.0  # points of the density, and how many standard deviations to the far side
NORMAL = NormalDist()


def error_spent(fraction: float, error: float) -> float:
    """Return the error that may be used up when this fraction of the pairs is there: in proportion.

    A function that saves more for the end (O'Brien, Fleming) would give 8 pairs less than 1/256, the smallest p-value
    that they have, and so never stop there.
    """
    return error * min(1.0, fraction)


def looks_until(pairs: int, *, is_last: bool = False) -> tuple[int, ...]:
    """Return the looks of a run that has so many pairs; one that ends between two looks has one more, at its end."""
    done = tuple(look for look in LOOKS if look <= pairs)
    return (*done, pairs) if is_last and done and done[-1] < pairs < LOOKS[-1] else done


@lru_cache(maxsize=256)
def levels(looks: tuple[int, ...], error: float = ERROR, *, is_last: bool = False) -> tuple[float, ...]:
    """Return the one-sided level of each look, so that the chance to cross at any of them is the error spent by then.

    The last look of a run spends what is left. It may come early where the time is out: that does not depend on what
    was seen.
    """
    times = [look / LOOKS[-1] for look in looks]
    spent = [0.0, *(error_spent(time, error) for time in times)]
    if is_last:
        spent[-1] = error
    limits = [NORMAL.inv_cdf(1 - spent[1]) * math.sqrt(times[0])]
    density, grid = _first_density(times[0], limits[0])
    for number in range(1, len(times)):
        step = math.sqrt(times[number] - times[number - 1])
        limits.append(_limit(density, grid, step, spent[number + 1] - spent[number]))
        density, grid = _next_density(density, grid, step, limits[-1], times[number])
    return tuple(1 - NORMAL.cdf(limit / math.sqrt(time)) for limit, time in zip(limits, times, strict=True))


def _first_density(time: float, limit: float) -> tuple[Floats, Floats]:
    """Return the density of the paths that stay below the limit, and where it is known, both [GRID]."""
    grid = np.linspace(-REACH * math.sqrt(time), limit, GRID)
    return np.exp(-(grid**2) / (2 * time)) / math.sqrt(2 * math.pi * time), grid


def _next_density(density: Floats, grid: Floats, step: float, limit: float, time: float) -> tuple[Floats, Floats]:
    """Return the density after one more step of standard deviation `step`, cut off at the limit."""
    there = np.linspace(-REACH * math.sqrt(time), limit, GRID)
    moves = np.exp(-((there[:, None] - grid[None, :]) ** 2) / (2 * step**2)) / (step * math.sqrt(2 * math.pi))
    return _integral(moves * density[None, :], grid), there


def _limit(density: Floats, grid: Floats, step: float, allowed: float) -> float:
    """Return the limit that paths of this density cross with the chance `allowed` in one step, by bisection."""
    low, high = -REACH, REACH
    for _ in range(60):
        middle = (low + high) / 2
        crossing = _integral(density * _tail((middle - grid) / step), grid)
        low, high = (middle, high) if crossing > allowed else (low, middle)
    return high


def _tail(deviations: Floats) -> Floats:
    return np.array([0.5 * math.erfc(one / math.sqrt(2)) for one in deviations])


def _integral(values: Floats, grid: Floats) -> Floats:
    """Return the integral along the last axis by the trapezoidal rule."""
    widths = np.diff(grid)
    return np.asarray(((values[..., 1:] + values[..., :-1]) / 2 * widths).sum(axis=-1))
