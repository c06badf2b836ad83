"""What the simulator needs to predict candidates, from a handful of short probes of each model that computes.

Each is probed by itself: with one instance and its batches as large as any candidate wants them, then with as many
instances as any candidate has, to see how much they slow one another down. What changes the work itself, threads or
another file, has probes of its own. The pipeline as it is served, with one request in flight, shows what a request
costs outside of the models. Where little time is allowed each model is at least probed with one request in flight and
with so many that they fill one instance; what was not probed is predicted from what was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.measure.analyzer import AnalyzerRun
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.served import computing
from tritonsmith.perf.simulate import Contention, ServiceTimes
from tritonsmith.perf.simulate.calibration import Probe, calibrate, slowdown
from tritonsmith.perf.simulate.configuration import instances_of
from tritonsmith.perf.tune.arena.allowance import Allowance, Plan, affordable
from tritonsmith.perf.tune.arena.bench import Bench
from tritonsmith.perf.tune.arena.predict import Calibrated, work_key
from tritonsmith.perf.tune.arena.step_inputs import step_inputs
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.variants import changed_configs

WINDOW_MS, LONGEST_MS = 90, 1000
LATENCIES = 5  # in a window, of three that last a fifth longer
MOST_CLIENTS = 192
ROUNDS_OF_ONE, ROUNDS_OF_SEVERAL = 3, 2
SAMPLES = 400  # of the latencies of a probe that are written down
SLOWED = 1.25  # instances that slow each other down by less do not want the same cores
SHORTEST_S = 0.1  # that a probe takes
WORK_S = 3.0  # that loading a model and its first two probes take, before it was seen
Asked = Callable[[Mapping[str, Any], Callable[[], Mapping[str, Any]]], Mapping[str, Any]]
_COUNTERS = TypeAdapter(ModelCounters)


@dataclass(frozen=True)
class Work:
    """One way in which a model computes: its configuration for probes, with one instance, and how many at most."""

    model: str
    key: str
    config: ModelConfig
    beside: Mapping[str, ModelConfig]  # of the models that it calls
    most_instances: int


Measure = Callable[[Work, int, int, int], Probe]  # of a way to compute with so many instances, clients; which round


def probe_models(bench: Bench, candidates: Sequence[Candidate], asked: Asked, allowance: Allowance) -> Calibrated:
    """Probe what the candidates may change, as far as is allowed, and put together what was seen.

    Raises: ServerError, UnstableError, UsageError.
    """
    base = bench.changes.base
    models = computing(bench.task.model, base)
    works = list(works_of(models, [base, *(base | changed_configs(c.variant, base) for c in candidates)], bench.calls))
    rounds = ROUNDS_OF_ONE if len(models) == 1 else ROUNDS_OF_SEVERAL
    task = replace(bench.task, window_ms=WINDOW_MS)
    latency_us = latency_as_served(
        lambda number: _probe(bench, asked, task, None, 1, 1, number), rounds, len(models), allowance
    )
    tasks = {name: replace(bench.task, model=name, version="") for name in models}
    if bench.task.model not in models:
        for name, path in step_inputs(bench, models).items():
            tasks[name] = replace(tasks[name], input_data=path)
    else:
        tasks = {bench.task.model: bench.task}
    window_ms = round(min(LONGEST_MS, max(WINDOW_MS, LATENCIES * latency_us / 1e3)))

    def measure(work: Work, instances: int, clients: int, number: int) -> Probe:
        return _probe(bench, asked, replace(tasks[work.model], window_ms=window_ms), work, instances, clients, number)

    services, slowdowns = probe_works(works, rounds, measure, allowance)
    return Calibrated(bench.task.model, base, services, contention_of(slowdowns), latency_us, bench.calls)


def latency_as_served(probed: Callable[[int], Probe], rounds: int, models: int, allowance: Allowance) -> float:
    """Return the microseconds of one request alone: the median over the rounds that leave time for each model."""
    begun_s = allowance.spent()
    probes = [probed(0)]
    each_s = allowance.spent() - begun_s
    while len(probes) < rounds and allowance.left_s(models * WORK_S) >= each_s:
        probes.append(probed(len(probes)))
    return float(np.median([probe.latencies_us.mean() for probe in probes]))


def probe_works(
    works: Sequence[Work], rounds: int, measure: Measure, allowance: Allowance
) -> tuple[dict[tuple[str, str], ServiceTimes], dict[int, float]]:
    """Return service times by model and way to compute, and how much so many instances slow one another down.

    The first of each model is probed in any case, in as many rounds and levels as leave time for the others; another
    that there is no time for has no service times of its own.
    """
    services: dict[tuple[str, str], ServiceTimes] = {}
    slowdowns: dict[int, float] = {}
    work_s = WORK_S
    for place, work in enumerate(works):
        known, rest = {model for model, _ in services}, works[place + 1 :]
        firsts = len({one.model for one in rest} - known - {work.model})  # that are still to be probed in any case
        if work.model in known and allowance.left_s((firsts + 1) * work_s) < 0:
            continue
        begun_s = allowance.spent()
        ends = [measure(work, 1, clients, 0) for clients in levels_of(work)[:2]]
        work_s = allowance.spent() - begun_s
        if work.model in known:
            services[work.model, work.key] = calibrate(ends).service
            continue
        share_s = allowance.left_s(len(rest) * work_s) / (firsts + 1)
        own = replace(allowance, until_s=allowance.spent() + share_s)
        service, slowed = _calibrated(work, ends, rounds, measure, own, work_s / len(ends))
        services[work.model, work.key] = service
        for count, factor in slowed.items() if service.is_contending else ():
            slowdowns[count] = max(factor, slowdowns.get(count, 1.0))
    return services, slowdowns


def works_of(
    models: Sequence[str], configurations: Sequence[Mapping[str, ModelConfig]], calls: Mapping[str, Sequence[str]]
) -> Iterator[Work]:
    """Yield each way in which each model computes in any of the configurations, the most frequent first."""
    for name in models:
        found: dict[str, list[Mapping[str, ModelConfig]]] = {}
        for configs in configurations:
            found.setdefault(work_key(name, configs, calls), []).append(configs)
        for key, ones in sorted(found.items(), key=lambda item: -len(item[1])):
            of_model = [configs[name] for configs in ones]
            called = {other: ones[0][other] for other in calls.get(name, ()) if other in ones[0]}
            yield Work(name, key, probing_config(of_model), called, max(map(instances_of, of_model)))


def probing_config(configs: Sequence[ModelConfig]) -> ModelConfig:
    """Return a configuration with one instance and the largest batch of all, batched dynamically if any is."""
    config = ModelConfig()
    config.CopyFrom(configs[0])
    config.max_batch_size = max(one.max_batch_size for one in configs)
    del config.instance_group[1:]
    group = config.instance_group[0] if config.instance_group else config.instance_group.add()
    group.count = 1
    if any(one.HasField("dynamic_batching") for one in configs):
        config.ClearField("dynamic_batching")
        config.dynamic_batching.SetInParent()
    return config


def contention_of(slowdowns: Mapping[int, float]) -> Contention:
    """Return how much slower so many busy instances are, from what was seen of some numbers; linear between them."""
    known = {1: 1.0, **slowdowns}
    counts = sorted(known)
    factors = np.maximum.accumulate(np.interp(range(1, counts[-1] + 1), counts, [known[count] for count in counts]))
    return Contention(tuple(map(float, factors)))


def levels_of(work: Work) -> tuple[int, ...]:
    """Return how many requests at a time a way to compute is probed with: one, more than it can batch, and between."""
    batch = work.config.max_batch_size if work.config.WhichOneof("scheduling_choice") else 1
    lowest, *between, highest = sorted({1, max(2, batch // 2), batch + 1, min(MOST_CLIENTS, 3 * batch + 1)})
    return (lowest, highest, *between)


def _calibrated(
    work: Work, ends: Sequence[Probe], rounds: int, measure: Measure, allowance: Allowance, probe_s: float
) -> tuple[ServiceTimes, dict[int, float]]:
    """Return the service times of one way to compute, and how much slower several instances were.

    `ends` are its probes at the lowest and the highest level, each of which took about `probe_s`.
    """
    levels = levels_of(work)
    counts = tuple(sorted({2, work.most_instances})) if work.most_instances > 1 else ()
    plan = affordable(Plan(rounds, levels, counts), len(ends) + allowance.left_s() / max(probe_s, SHORTEST_S))
    planned = [(number, level) for number in range(plan.rounds) for level in plan.levels][len(ends) :]
    more = [measure(work, 1, level, number) for number, level in planned if allowance.left_s() >= 0]
    service = calibrate([*ends, *more]).service
    slowed: dict[int, float] = {}
    for count in plan.counts:
        clients = min(MOST_CLIENTS, count * levels[1])
        busy = [measure(work, count, clients, n) for n in range(plan.rounds) if allowance.left_s() >= 0]
        if busy:
            slowed[count] = max(1.0, float(np.median([slowdown(service, probe.counters) for probe in busy])))
    is_contending = not slowed or max(slowed.values()) > SLOWED
    return replace(service, is_contending=is_contending), slowed


def _probe(
    bench: Bench, asked: Asked, task: AnalyzerRun, work: Work | None, instances: int, clients: int, number: int
) -> Probe:
    """Measure a model with so many instances, or the whole pipeline as it is served where `work` is None."""
    question = {
        "probe": task.model,
        "work": work.key if work else "as served",
        "batch": work.config.max_batch_size if work else 0,
        "instances": instances,
        "clients": clients,
        "round": number,
    }

    answer = asked(question, lambda: _measured(bench, task, work, instances, clients, is_first=number == 0))
    counters, latencies_us = _COUNTERS.validate_python(answer["counters"]), np.asarray(answer["latencies_us"])
    if not any(counters.batch_sizes.values()):  # a backend that reports no executions: each request is one
        busy_ns = round(counters.requests * float(latencies_us.mean()) * 1e3)
        counters = replace(counters, batch_sizes={1: counters.requests}, busy_ns={1: busy_ns})
    return Probe(clients, answer["throughput_per_s"], latencies_us, counters)


def _measured(
    bench: Bench, task: AnalyzerRun, work: Work | None, instances: int, clients: int, *, is_first: bool
) -> Mapping[str, Any]:
    """Bring a way to compute onto the server and measure it; return what is written down."""
    load = Load("concurrency", clients)
    try:
        changed = {}
        if work is not None:
            config = ModelConfig()
            config.CopyFrom(work.config)
            config.instance_group[0].count = instances
            changed = {**work.beside, work.model: config}
        if bench.changes.bring(changed, where=f"probe of {task.model}") or is_first:
            bench.warm_up(load, task)
        before = bench.counters(task.model)
        profile = bench.run_patiently(load, task.window_ms, task=task)[0].profile
    except ServerError as problem:
        bench.require_server(problem)
        raise
    counters = bench.counters(task.model).since(before)
    latencies_us = np.quantile(profile.latencies_us, np.linspace(0, 1, min(SAMPLES, len(profile.latencies_us))))
    return {
        "throughput_per_s": profile.throughput_per_s,
        "latencies_us": [round(float(one), 1) for one in latencies_us],
        "counters": _COUNTERS.dump_python(counters, mode="json"),
    }
