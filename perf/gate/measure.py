"""One run of a gate: perf_analyzer between two readings of the server's counters and of everybody's CPU time."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UnstableError
from tritonsmith.perf.gate.core import Conditions, Run
from tritonsmith.perf.gate.document import GatePlan
from tritonsmith.perf.gate.pairs import ORDERS, Turn
from tritonsmith.perf.measure.analyzer import (
    AnalyzerResult,
    AnalyzerRun,
    AnalyzerTool,
    EndedError,
    HungError,
    LostExportError,
    measured_s,
    run_analyzer,
)
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import MachineLoad, machine_load, now, read_cpu_ticks
from tritonsmith.perf.measure.measurement import Measurement, compose_measurement
from tritonsmith.perf.measure.server_statistics import mean_request_us, step_between

LEAST_WINDOW_MS, PROBE_MS = 60, 300
ENOUGH_REQUESTS, LEAST_REQUESTS = 60, 20  # in the three windows of a run, each 1.2 times what it is asked
WANTED_PAIRS = 12  # that should fit into the budget, where that takes shorter windows
START_S, RUN_START_S = 2.0, 0.06  # of a generation and of perf_analyzer, about
LOST_STATISTICS = "failed to find the requested model version"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Bench:
    """What every run of a gate has in common."""

    plan: GatePlan
    tool: AnalyzerTool
    folder: Path
    input_data: Path
    is_decoupled: bool
    cores: int


def warm_up(bench: Bench, server: Server, load: Load) -> None:
    """Let a new server answer for a while; what it says is not looked at."""
    _run_twice_at_most(bench, _task(bench, server, load, 0))


def pair_seconds(plan: GatePlan) -> float:
    """Return how long a pair takes, about."""
    runs = len(ORDERS[0]) * len(plan.loads)
    return START_S + runs * (measured_s(plan.window_ms) + RUN_START_S)


def choose_window_ms(bench: Bench, server: Server) -> int:
    """Return the shortest window in which the slowest load has enough requests for a median.

    A load so slow that this leaves no time for a dozen pairs gets a shorter one, down to a third of the requests.

    Raises: ServerError, UnstableError where the model does not answer at all.
    """
    rates = []
    for load in bench.plan.loads:
        probe = replace(_task(bench, server, load, 0), window_ms=PROBE_MS)
        try:
            rates.append(run_analyzer(bench.tool, probe, bench.folder).profile.throughput_per_s)
        except UnstableError:  # not one request within a window
            slower = replace(probe, window_ms=10 * PROBE_MS)
            rates.append(run_analyzer(bench.tool, slower, bench.folder).profile.throughput_per_s)
    enough, least = (math.ceil(1000 * count / min(rates) / 3.6) for count in (ENOUGH_REQUESTS, LEAST_REQUESTS))
    run_s = (bench.plan.budget_s / WANTED_PAIRS - START_S) / (len(ORDERS[0]) * len(bench.plan.loads)) - RUN_START_S
    affordable = math.floor(1000 * run_s / 3.6)
    return max(LEAST_WINDOW_MS, min(enough, max(least, affordable)))


def measure_run(bench: Bench, servers: Iterable[Server], server: Server, pair: int, turn: Turn) -> Run:
    """Measure one side once; where the server fails the requests, the run says why and has no values.

    Raises: HungError, EndedError, LostExportError where it is perf_analyzer that fails.
    """
    started_at = now()
    ours, own_s, begun_s = [one.pid for one in servers], _own_cpu_s(), time.monotonic()
    load_average, ticks, used_s = os.getloadavg()[0], read_cpu_ticks(), _sessions_cpu_s(ours)
    measurement, problem = None, ""
    try:
        before = _counters(server.control, bench.plan.model)
        result = _run_twice_at_most(bench, _task(bench, server, turn.load, pair))
        after = _counters(server.control, bench.plan.model)
        machine = machine_load(ticks, read_cpu_ticks(), load_average)
        step = step_between(bench.plan.model, before, after)
        server_us = mean_request_us(before, after)
        measurement = compose_measurement(turn.load, result, server_us, (step,), machine)
        failed = step.failures
    except (HungError, EndedError, LostExportError):
        raise
    except (ServerError, UnstableError) as error:
        problem, failed = error.message.strip().splitlines()[-1], 0
        machine = machine_load(ticks, read_cpu_ticks(), load_average)
    ours_s = _sessions_cpu_s(ours) - used_s + _own_cpu_s() - own_s
    return Run(
        pair=pair,
        side=turn.side,
        load=turn.load,
        place=turn.place,
        started_at=started_at,
        values=values_of(measurement) if measurement else {},
        requests=measurement.latency.requests if measurement else 0,
        failed_requests=failed,
        conditions=_conditions(measurement, machine, ours_s, time.monotonic() - begun_s, bench.cores),
        problem=problem,
    )


def _run_twice_at_most(bench: Bench, task: AnalyzerRun) -> AnalyzerResult:
    """Measure, and once more where perf_analyzer was ended, or did not find the model among the statistics.

    Neither says anything of the model; the second happens in one run of a few hundred, without a request that failed. A
    model that really is gone fails again.
    """
    try:
        return run_analyzer(bench.tool, task, bench.folder)
    except ServerError as problem:
        if not isinstance(problem, EndedError) and LOST_STATISTICS not in problem.message:
            raise
        console.say(f"note: {problem.message.splitlines()[0].rstrip(':')}; measured again")
        return run_analyzer(bench.tool, task, bench.folder)


def values_of(measurement: Measurement) -> dict[str, float]:
    """Return what is compared, by metric: times in microseconds, rates per second."""
    latency, streams = measurement.latency, measurement.streams
    values = {"p50": latency.p50_us, "mean": latency.mean_us, "p90": latency.p90_us, "p99": latency.p99_us}
    values["throughput"] = measurement.throughput_per_s
    if streams:
        values["ttft_p50"] = streams.ttft.p50_us
        values["tokens"] = streams.output_tokens_per_s
        values |= {"tpot_p50": streams.tpot.p50_us} if streams.tpot else {}
    return values


def _conditions(
    measurement: Measurement | None, machine: MachineLoad, ours_s: float, seconds: float, cores: int
) -> Conditions:
    return Conditions(
        is_generator_behind=measurement.is_generator_behind if measurement else False,
        generator_cores=measurement.generator_cores if measurement else 0.0,
        steal_share=machine.steal_share,
        busy_share=machine.busy_share,
        foreign_cores=round(max(0.0, machine.busy_share * cores - machine.steal_share * cores - ours_s / seconds), 3),
        load_average=machine.load_average,
    )


def _task(bench: Bench, server: Server, load: Load, pair: int) -> AnalyzerRun:
    is_grpc = bench.is_decoupled or bench.plan.protocol == "grpc"
    return AnalyzerRun(
        model=bench.plan.model,
        url=server.grpc_url if is_grpc else server.http_url,
        load=load,
        window_ms=bench.plan.window_ms,
        protocol="grpc" if is_grpc else "http",
        input_data=bench.input_data,
        is_decoupled=bench.is_decoupled,
        seed=1000 * bench.plan.seed + pair,  # both sides of a pair get the same arrivals
    )


def _counters(control: Control, model: str) -> ModelCounters:
    return parse_counters(control.statistics(model), model)


def _own_cpu_s() -> float:
    """Return the CPU time of this process and of its children that ended, perf_analyzer among them."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _sessions_cpu_s(leaders: Iterable[int]) -> float:
    """Return the CPU time of the processes that live in these sessions: servers with their Python processes."""
    wanted, ticks = set(leaders), 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            if int(fields[3]) in wanted:  # man 5 proc: after the name come state, ppid, pgrp, session; utime is 14th
                ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S
