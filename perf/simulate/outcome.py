"""What a simulation says: latencies and throughput of each traffic, batches, queues and utilisation of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonsmith.perf.statistics import quantile

Nanoseconds = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class TrafficOutcome:
    """One traffic in the measured time; both [answered], in the order of the answers."""

    model: str
    sent_ns: Nanoseconds
    answered_ns: Nanoseconds
    rejected: int
    measured_s: float

    @property
    def latency_us(self) -> Floats:
        """Return how long each request took, sending to answer."""
        return (self.answered_ns - self.sent_ns) / 1e3

    @property
    def throughput_per_s(self) -> float:
        """Return answers per second."""
        return len(self.answered_ns) / self.measured_s if self.measured_s else 0.0

    @property
    def mean_us(self) -> float:
        """Return the mean latency; NaN where nothing was answered."""
        return float(self.latency_us.mean()) if len(self.sent_ns) else float("nan")

    def quantile_us(self, share: float) -> float:
        """Return a latency quantile; NaN where nothing was answered."""
        return quantile(self.latency_us, share) if len(self.sent_ns) else float("nan")

    def share_within(self, limit_us: float) -> float:
        """Return the share of requests that were answered within so long; refused ones were not."""
        total = len(self.sent_ns) + self.rejected
        return float((self.latency_us <= limit_us).sum()) / total if total else 0.0


@dataclass(frozen=True)
class ModelOutcome:
    """One model in the measured time. `batch_sizes` counts executions by rows, padding of sequence slots included."""

    requests: int
    rejected: int
    executions: int
    batch_sizes: Mapping[int, int]
    queue_us: float  # mean wait of a request from its arrival at the model to its execution
    utilization: float  # busy share of the instances' time

    @property
    def mean_batch_size(self) -> float:
        """Return rows per execution."""
        return sum(size * count for size, count in self.batch_sizes.items()) / max(1, self.executions)


@dataclass(frozen=True)
class Outcome:
    """A whole simulation. `sent`, `answered`, `refused` and `unanswered` count from its start, not its measured time.

    `sent` are requests that reached the server; `unanswered` are those it still had at the end.
    """

    traffic: tuple[TrafficOutcome, ...]
    models: Mapping[str, ModelOutcome]
    measured_s: float
    sent: int
    answered: int
    refused: int
    unanswered: int

    @property
    def throughput_per_s(self) -> float:
        """Return answers per second over all traffic."""
        return sum(part.throughput_per_s for part in self.traffic)

    @property
    def p50_us(self) -> float:
        """Return the median latency of the first traffic, which mostly is the only one."""
        return self.traffic[0].quantile_us(0.5)

    @property
    def p99_us(self) -> float:
        """Return the 99th percentile of the first traffic's latencies."""
        return self.traffic[0].quantile_us(0.99)

    @property
    def mean_us(self) -> float:
        """Return the mean latency of the first traffic."""
        return self.traffic[0].mean_us
