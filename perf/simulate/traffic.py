"""Who sends what when: closed-loop clients, Poisson and bursty arrivals, a recorded trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.perf.measure.load import Load

Rhythm = Literal["poisson", "bursty", "constant"]
RHYTHMS: tuple[Rhythm, ...] = get_args(Rhythm)
SEQUENCE_LENGTH = 20  # requests of a sequence, for a model that batches sequences: perf_analyzer's own
BLOCK = 4096


@dataclass(frozen=True)
class ClosedLoop:
    """`clients` that each send their next request `think_us` after the answer to the last one."""

    clients: int
    think_us: float = 0.0


@dataclass(frozen=True)
class Poisson:
    """Independent arrivals at a mean rate, whether or not earlier requests were answered."""

    rate_per_s: float


@dataclass(frozen=True)
class Constant:
    """One arrival every 1 / rate."""

    rate_per_s: float


@dataclass(frozen=True)
class Bursty:
    """Poisson arrivals that come in bursts: at `peak` times the mean rate for a share 1 / peak of the time, else none.

    A burst and the pause after it together take `period_s` on average; both are exponential.
    """

    rate_per_s: float
    peak: float = 4.0
    period_s: float = 1.0


@dataclass(frozen=True)
class Trace:
    """Arrivals at recorded times, in seconds from the start and in order; each may have its own rows and priority."""

    times_s: tuple[float, ...]
    rows: tuple[int, ...] = ()
    priorities: tuple[int, ...] = ()


Arrivals = ClosedLoop | Poisson | Constant | Bursty | Trace


@dataclass(frozen=True)
class Traffic:
    """Requests for one model or ensemble.

    `rows` is each request's own batch. `priority` 0 is the model's default; `timeout_us` 0 is none. For a sequence
    model every arrival begins a sequence of `sequence_length` requests, each sent once the one before is answered;
    closed-loop clients then send sequence after sequence.
    """

    model: str
    arrivals: Arrivals
    rows: int = 1
    priority: int = 0
    timeout_us: int = 0
    sequence_length: int = 0


def traffic_for(
    model: str, load: Load | Trace, configs: Mapping[str, ModelConfig], rhythm: Rhythm = "poisson"
) -> Traffic:
    """Return what perf_analyzer sends at a level of load, or what was recorded; `configs` are those that it reaches.

    Where one of them batches sequences every request is one of a sequence's; a rate is of requests all the same.
    """
    length = SEQUENCE_LENGTH if any(config.HasField("sequence_batching") for config in configs.values()) else 0
    if isinstance(load, Trace):
        return Traffic(model, load, sequence_length=length)
    if load.kind == "concurrency":
        return Traffic(model, ClosedLoop(round(load.value)), sequence_length=length)
    kinds: Mapping[Rhythm, type[Poisson | Bursty | Constant]]
    kinds = {"poisson": Poisson, "bursty": Bursty, "constant": Constant}
    return Traffic(model, kinds[rhythm](load.value / max(1, length)), sequence_length=length)


def arrival_times(arrivals: Arrivals, random: np.random.Generator) -> Iterator[int]:
    """Yield the arrivals of an open loop in nanoseconds from the start."""
    if isinstance(arrivals, Trace):
        yield from (round(time_s * 1e9) for time_s in arrivals.times_s)
    elif isinstance(arrivals, Poisson):
        yield from _poisson(arrivals.rate_per_s, random)
    elif isinstance(arrivals, Constant):
        number = 0
        while True:
            number += 1
            yield round(number * 1e9 / arrivals.rate_per_s)
    elif isinstance(arrivals, Bursty):
        yield from _bursty(arrivals, random)


def _poisson(rate_per_s: float, random: np.random.Generator) -> Iterator[int]:
    last_ns = 0.0
    while True:
        times_ns = last_ns + np.cumsum(random.exponential(1e9 / rate_per_s, BLOCK))
        last_ns = float(times_ns[-1])
        yield from np.rint(times_ns).astype(np.int64).tolist()


def _bursty(arrivals: Bursty, random: np.random.Generator) -> Iterator[int]:
    """Poisson arrivals in busy time, to which the pauses between the bursts are added."""
    burst_ns = arrivals.period_s / arrivals.peak * 1e9
    pause_ns = arrivals.period_s * 1e9 - burst_ns
    paused_ns, ends_ns = 0.0, random.exponential(burst_ns)
    for busy_ns in _poisson(arrivals.rate_per_s * arrivals.peak, random):
        while busy_ns > ends_ns:
            paused_ns += random.exponential(pause_ns) if pause_ns > 0 else 0.0
            ends_ns += random.exponential(burst_ns)
        yield busy_ns + round(paused_ns)
