"""What the simulator needs to predict candidates, from a handful of short probes of each model that computes.

Each is probed by itself: with one instance and its batches as large as any candidate wants them, then with as many
instances as any candidate has, to see how much they slow one another down. What changes the work itself, threads or
another file, has probes of its own. The pipeline as it is served, with one request in flight, shows what a request
costs outside of the models.
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
from tritonsmith.perf.simulate.calibration import Probe, calibrate
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


def probe_models(bench: Bench, candidates: Sequence[Candidate], asked: Asked) -> Calibrated:
    """Probe what the candidates may change, and put together what was seen.

    Raises: ServerError, UnstableError, UsageError.
    """
    base = bench.changes.base
    models = computing(bench.task.model, base)
    works = list(works_of(models, [base, *(base | changed_configs(c.variant, base) for c in candidates)], bench.calls))
    rounds = ROUNDS_OF_ONE if len(models) == 1 else ROUNDS_OF_SEVERAL
    alone = [_probe(bench, asked, replace(bench.task, window_ms=WINDOW_MS), None, 1, 1, n) for n in range(rounds)]
    tasks = {name: replace(bench.task, model=name, version="") for name in models}
    if bench.task.model not in models:
        for name, path in step_inputs(bench, models).items():
            tasks[name] = replace(tasks[name], input_data=path)
    else:
        tasks = {bench.task.model: bench.task}
    latency_us = float(np.median([probe.latencies_us.mean() for probe in alone]))
    window_ms = round(min(LONGEST_MS, max(WINDOW_MS, LATENCIES * latency_us / 1e3)))
    services: dict[tuple[str, str], ServiceTimes] = {}
    slowdowns: dict[int, float] = {}
    for work in works:
        is_first = work.model not in {model for model, _ in services}
        service, slowed = _calibrated(
            bench, asked, replace(tasks[work.model], window_ms=window_ms), work, rounds if is_first else 1
        )
        services[work.model, work.key] = service
        for count, factor in slowed.items() if service.is_contending else ():
            slowdowns[count] = max(factor, slowdowns.get(count, 1.0))
    return Calibrated(bench.task.model, base, services, contention_of(slowdowns), latency_us, bench.calls)


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


def instances_of(config: ModelConfig) -> int:
    """Return how many instances a configuration asks for, on the first of its devices."""
    return sum(max(1, group.count) for group in config.instance_group) or 1


def contention_of(slowdowns: Mapping[int, float]) -> Contention:
    """Return how much slower so many busy instances are, from what was seen of some numbers; linear between them."""
    known = {1: 1.0, **slowdowns}
    counts = sorted(known)
    factors = np.maximum.accumulate(np.interp(range(1, counts[-1] + 1), counts, [known[count] for count in counts]))
    return Contention(tuple(map(float, factors)))


def _calibrated(
    bench: Bench, asked: Asked, task: AnalyzerRun, work: Work, rounds: int
) -> tuple[ServiceTimes, dict[int, float]]:
    """Return the service times of one way to compute, and how much slower several instances were."""
    batch = work.config.max_batch_size if work.config.WhichOneof("scheduling_choice") else 1
    levels = sorted({1, max(2, batch // 2), batch + 1, min(MOST_CLIENTS, 3 * batch + 1)})
    if rounds == 1:
        levels = [1, levels[-1]]
    probes = [_probe(bench, asked, task, work, 1, level, n) for n in range(rounds) for level in levels]
    service = calibrate(probes).service
    slowed: dict[int, float] = {}
    for count in sorted({2, work.most_instances} - {1}) if work.most_instances > 1 and rounds > 1 else ():
        busy = [
            _probe(bench, asked, task, work, count, min(MOST_CLIENTS, count * levels[-1]), n) for n in range(rounds)
        ]
        slowed[count] = max(1.0, float(np.median([slowdown(service, probe.counters) for probe in busy])))
    is_contending = not slowed or max(slowed.values()) > SLOWED
    return replace(service, is_contending=is_contending), slowed


def slowdown(service: ServiceTimes, counters: ModelCounters) -> float:
    """Return how much longer executions took than those of one instance alone."""
    alone_us = sum(count * service.mean_of(size) for size, count in counters.batch_sizes.items())
    return sum(counters.busy_ns.values()) / 1e3 / alone_us if alone_us else 1.0


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

    def ask() -> Mapping[str, Any]:
        load = Load("concurrency", clients)
        try:
            changed = {}
            if work is not None:
                config = ModelConfig()
                config.CopyFrom(work.config)
                config.instance_group[0].count = instances
                changed = {**work.beside, work.model: config}
            if bench.changes.bring(changed, where=f"probe of {task.model}") or number == 0:
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

    answer = asked(question, ask)
    counters, latencies_us = _COUNTERS.validate_python(answer["counters"]), np.asarray(answer["latencies_us"])
    if not any(counters.batch_sizes.values()):  # a backend that reports no executions: each request is one
        busy_ns = round(counters.requests * float(latencies_us.mean()) * 1e3)
        counters = replace(counters, batch_sizes={1: counters.requests}, busy_ns={1: busy_ns})
    return Probe(clients, answer["throughput_per_s"], latencies_us, counters)
