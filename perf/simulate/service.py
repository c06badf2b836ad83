"""How long an instance is busy with one batch: a mean for each batch size, a spread, and who slows whom down."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.generator.errors import UsageError

BLOCK = 4096  # draws made at once
MOST_DRAWS = 32  # for one execution
Draw = Callable[[int], int]


@dataclass(frozen=True)
class ServiceTimes:
    """The time one execution takes an instance, by its rows.

    `mean_us` is linear between its batch sizes; beyond the largest it goes on as between the last two, and where there
    is one only it is proportional to the rows. Each execution multiplies it by a factor of mean 1, drawn from a gamma
    distribution whose standard deviation is `variation` (0: constant, 1: exponential), or from `observed` where that
    is given: relative durations of one row, as measured. A batch that takes k times as long as one row is hit by what
    disturbs a machine k times as often, not k times as hard: it gets the mean of k of them.

    `handover_us` is what an execution takes besides, once its answers are out: statistics are kept, threads are woken,
    the next batch is fetched, which grows until then; nothing counts it as compute time.
    `is_contending`: it needs a core, so it is slowed down by others that do; an execution on a GPU, or one that
    sleeps, does not.
    """

    mean_us: Mapping[int, float]
    variation: float = 0.0
    observed: tuple[float, ...] = ()
    handover_us: float = 0.0
    is_contending: bool = True

    def __post_init__(self) -> None:
        if not self.mean_us or min(self.mean_us) < 1 or min(self.mean_us.values()) < 0:
            raise UsageError(f"not service times by batch size: {dict(self.mean_us)}", hint="give {1: MICROSECONDS}")

    def mean_of(self, rows: int) -> float:
        """Return the mean time of a batch in microseconds."""
        sizes = sorted(self.mean_us)
        place = bisect_left(sizes, rows)
        if place < len(sizes) and (sizes[place] == rows or place == 0):
            return self.mean_us[sizes[place]]
        if len(sizes) == 1:
            return self.mean_us[sizes[0]] * rows / sizes[0]
        low, high = sizes[place - 1 : place + 1] if place < len(sizes) else sizes[-2:]
        slope = (self.mean_us[high] - self.mean_us[low]) / (high - low)
        return max(self.mean_us[low] + slope * (rows - low), min(self.mean_us.values()))


@dataclass(frozen=True)
class Contention:
    """How much slower executions are while n of them want a core at once: factors[n - 1], each at least 1.

    Beyond the table they share what there is: twice as many, twice as slow.
    """

    factors: tuple[float, ...] = (1.0,)

    def factor(self, busy: int) -> float:
        """Return the slowdown with `busy` executions."""
        known = len(self.factors)
        return self.factors[busy - 1] if busy <= known else self.factors[-1] * busy / known


def cores(count: int) -> Contention:
    """Return the contention of a machine with that many equal cores, where each execution wants one."""
    return Contention((1.0,) * count)


@dataclass(frozen=True)
class Overhead:
    """What a request costs outside the models: client, network, endpoint; half of it on the way there.

    A mean in microseconds and the standard deviation of its gamma distribution relative to that.
    """

    mean_us: float = 0.0
    variation: float = 0.0


def service_times(counters: ModelCounters, variation: float = 0.0) -> ServiceTimes:
    """Return the mean times by batch size that a server counted (its `batch_stats`); their spread it does not count.

    What ran while other executions wanted the same cores is slowed down by them: read the counters where one ran
    alone.

    Raises: UsageError where the model executed nothing.
    """
    sizes = {size: count for size, count in sorted(counters.batch_sizes.items()) if count > 0}
    if not sizes:
        raise UsageError("the model executed nothing, so there are no service times", hint="send it requests first")
    return ServiceTimes({size: counters.busy_ns.get(size, 0) / count / 1e3 for size, count in sizes.items()}, variation)


@dataclass
class Durations:
    """Draws durations of batches in nanoseconds."""

    service: ServiceTimes
    seed: np.random.SeedSequence
    means_ns: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._row_ns = self.service.mean_of(1) * 1e3 if self.service.observed else 0.0
        self.factors = factors(self.service, np.random.default_rng(self.seed))

    def draw(self, rows: int) -> int:
        """Return how long this batch takes where nothing slows it down."""
        mean_ns = self.means_ns.get(rows)
        if mean_ns is None:
            mean_ns = self.means_ns[rows] = self.service.mean_of(rows) * 1e3
        if not self._row_ns:
            return int(mean_ns * next(self.factors) + 0.5)
        count = min(MOST_DRAWS, int(mean_ns / self._row_ns + 0.5)) or 1
        return int(mean_ns * sum(islice(self.factors, count)) / count + 0.5)


def factors(service: ServiceTimes, random: np.random.Generator) -> Iterator[float]:
    """Yield relative durations of mean 1."""
    if service.observed:
        observed = np.asarray(service.observed, dtype=float)
        observed = observed / observed.mean()
        while True:
            yield from random.choice(observed, BLOCK).tolist()
    yield from gamma_factors(service.variation, random)


def gamma_factors(variation: float, random: np.random.Generator) -> Iterator[float]:
    """Yield factors of mean 1 and this standard deviation."""
    while variation <= 0:
        yield 1.0
    shape = 1 / variation**2
    while True:
        yield from (random.standard_gamma(shape, BLOCK) / shape).tolist()


def nanoseconds(microseconds: float) -> int:
    """Return whole nanoseconds."""
    return math.floor(microseconds * 1e3 + 0.5)
