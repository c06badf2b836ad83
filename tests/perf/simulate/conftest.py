"""Small schedules to be computed by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tritonsmith.perf.simulate import Outcome, ServiceTimes, SimulatedModel, System, Trace, Traffic, simulate

Replay = Callable[..., tuple[list[float], dict[int, int]]]


@pytest.fixture
def replay() -> Replay:
    """A function that sends requests to a model at given times in microseconds.

    It returns when each was answered, in microseconds and in the order of sending, and the executions by batch size.
    """

    def run(
        model: SimulatedModel, times_us: Sequence[float], rows: Sequence[int] = (), **traffic: Any
    ) -> tuple[list[float], dict[int, int]]:
        trace = Trace(tuple(time_us / 1e6 for time_us in times_us), tuple(rows))
        outcome = simulate(System({"m": model}), Traffic("m", trace, **traffic), warmup_share=0)
        return answers_us(outcome), dict(outcome.models["m"].batch_sizes)

    return run


def answers_us(outcome: Outcome) -> list[float]:
    part = outcome.traffic[0]
    return [
        answered / 1e3 for _, answered in sorted(zip(part.sent_ns.tolist(), part.answered_ns.tolist(), strict=True))
    ]


@pytest.fixture
def constant_us() -> Callable[[float], ServiceTimes]:
    """A function that returns service times which are the same for every batch size."""
    return lambda time_us: ServiceTimes({1: time_us, 64: time_us})
