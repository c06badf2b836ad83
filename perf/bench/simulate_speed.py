"""How many requests a second the simulator simulates: `python -m tritonsmith.perf.bench.simulate_speed`.

Each system is simulated for so many answered requests, several times over, on one core; building it is part of the
time, which is CPU time: other processes do not count. A request of an ensemble of three steps is three requests to
models. The goal is 100,000 requests per second.
"""

from __future__ import annotations

import time
from typing import Any

import click

from tritonsmith.generator import console
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.simulate import (
    ClosedLoop,
    DirectSequences,
    DynamicBatching,
    OldestSequences,
    Overhead,
    Poisson,
    QueuePolicy,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
    Traffic,
    cores,
    simulate,
)
from tritonsmith.perf.simulate.system import Scheduler
from tritonsmith.perf.statistics import median, median_interval

GOAL_PER_S = 100_000
SERVICE = ServiceTimes({1: 1000.0, 8: 2400.0}, variation=0.1)


def model(scheduler: Scheduler | None = None, instances: int = 2) -> SimulatedModel:
    """Return a model of max_batch_size 8."""
    return SimulatedModel(SERVICE, 8, instances, scheduler)


def after(*places: int) -> frozenset[int]:
    """Return the places a step waits for."""
    return frozenset(places)


DELAYED = model(DynamicBatching(max_queue_delay_us=500))
LIMITED = model(DynamicBatching(default_policy=QueuePolicy(max_queue_size=100)))
LEVELS = model(DynamicBatching(priority_levels=2, default_priority_level=1))
PIPELINE = SimulatedEnsemble((Step("n"), Step("m", after(0)), Step("n", after(1))))
CASES: dict[str, tuple[System, Traffic]] = {
    "no batcher, closed loop of 8": (System({"m": model()}), Traffic("m", ClosedLoop(8))),
    "dynamic batcher, closed loop of 32": (System({"m": model(DynamicBatching())}), Traffic("m", ClosedLoop(32))),
    "dynamic batcher, closed loop of 2": (System({"m": model(DynamicBatching())}), Traffic("m", ClosedLoop(2))),
    "dynamic batcher with a delay, Poisson": (System({"m": DELAYED}), Traffic("m", Poisson(4000))),
    "the same with cores and overhead": (
        System({"m": DELAYED}, contention=cores(2), overhead=Overhead(200, 0.3)),
        Traffic("m", Poisson(4000)),
    ),
    "queue policy, Poisson": (System({"m": LIMITED}), Traffic("m", Poisson(4000))),
    "priorities, closed loop of 32": (System({"m": LEVELS}), Traffic("m", ClosedLoop(32))),
    "rate limiter, closed loop of 32": (
        System({"m": model(DynamicBatching())}, limits_rate=True),
        Traffic("m", ClosedLoop(32)),
    ),
    "direct sequences, closed loop of 32": (
        System({"m": model(DirectSequences())}),
        Traffic("m", ClosedLoop(32), sequence_length=10),
    ),
    "oldest sequences, closed loop of 32": (
        System({"m": model(OldestSequences(16))}),
        Traffic("m", ClosedLoop(32), sequence_length=10),
    ),
    "ensemble of three steps, closed loop of 32": (
        System({"m": model(DynamicBatching()), "n": model(DynamicBatching()), "e": PIPELINE}),
        Traffic("e", ClosedLoop(32)),
    ),
}


@click.command()
@click.option("--requests", default=100_000, show_default=True, help="How many are simulated each time.")
@click.option("--rounds", default=5, show_default=True, help="How often each system is simulated.")
def main(requests: int, rounds: int) -> None:
    """Time the simulation of several systems."""
    rates: dict[str, list[float]] = {name: [] for name in CASES}
    for seed in range(rounds):
        for name, (system, traffic) in CASES.items():
            rates[name].append(_requests_per_s(system, traffic, requests, seed))
    results = {name: _described(values) for name, values in rates.items()}
    write_result("simulate_speed", {"requests": requests, "rounds": rounds, "goal": GOAL_PER_S, "systems": results})
    rows = [[name, f"{r['per_s']:,}", f"{r['interval'][0]:,} to {r['interval'][1]:,}"] for name, r in results.items()]
    console.result(console.table(["system", "requests/s, median", "interval"], rows))


def _requests_per_s(system: System, traffic: Traffic, requests: int, seed: int) -> float:
    started_s = time.process_time()
    simulate(system, traffic, requests=requests, seed=seed)
    return requests / (time.process_time() - started_s)


def _described(values: list[float]) -> dict[str, Any]:
    interval = median_interval(values)
    return {"per_s": round(median(values)), "interval": [round(interval.low), round(interval.high)]}


if __name__ == "__main__":
    main()
