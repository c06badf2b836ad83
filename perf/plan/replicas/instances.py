"""How many instances, or replicas of a server, a model needs that Triton batches itself: ONNX, TensorRT, Python.

What one execution takes is known from one sweep; the simulator of Triton's schedulers says what more of them do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.plan.core import Figure, Objectives, Replicas, Tails, Traffic
from tritonsmith.perf.plan.replicas.arrivals import LEAST_PER_S, arrivals_at, requests_for, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import QUANTILES, REQUESTS
from tritonsmith.perf.plan.replicas.replicas import surge_of
from tritonsmith.perf.simulate import Bursty, Poisson, ServiceTimes, SimulatedModel, System, Trace, simulate
from tritonsmith.perf.simulate import Traffic as Sent
from tritonsmith.perf.simulate.from_sweep import times_in
from tritonsmith.perf.simulate.predict import Question, system_of
from tritonsmith.perf.statistics import median, relative_spread
from tritonsmith.perf.variants import Variant

LEAST_ERROR = 0.03  # of execution times from a sweep: what an execution takes besides is not in them
KEEPS_UP = 0.97  # of the time that instances may be busy where no latency is asked for
MOST = 4096  # instances, or replicas
BURST_S = 1.0  # a burst and the pause after it; answers are faster than those of language models


@dataclass(frozen=True)
class InstancePlan:
    """So many instances keep to the objectives; `tails` and `one_less` are at the traffic's rate.

    `servers` are replicas of the server as it is configured instead; None where no number of them is enough. `error` is
    the share by which executions were taken to last longer than the sweep says.
    """

    model: str
    instances: int
    error: float
    tails: Tails
    one_less: Tails | None  # None: there is one only
    servers: Replicas | None = None


def instances_for(
    sweep: Sweep,
    configs: Mapping[str, ModelConfig],
    traffic: Traffic,
    objectives: Objectives,
    *,
    spare: int = 1,
    seed: int = 0,
) -> InstancePlan:
    """Return how many instances of a sweep's model a traffic needs, each with a core or a share of a GPU to itself.

    `configs` are the model's and, where it is an ensemble, its steps'; all computing ones get as many instances.
    Executions are taken to last as much longer as repeats of the sweep differ, at least 3 %. Of replicas of the server
    `spare` may be down.

    Raises: AnswerIsNo where no number is enough; UsageError for objectives on tokens, and a model that batches
    sequences.
    """
    error = max(LEAST_ERROR, _spread_of(sweep))
    known = times_in(sweep)
    slowed = {name: _slower(times, 1 + error) for name, times in known.services.items()}
    question = Question(sweep.plan.model, configs, replace(known, services=slowed), seed=seed)
    if any(configs[name].HasField("sequence_batching") for name in question.reached):
        hint = "tritonsmith simulate MODEL --sequence-length says what sequences of requests meet"
        raise UsageError(f"'{question.model}' batches sequences, whose rate says little", hint=hint)
    rate_per_s = traffic_rate_per_s(traffic)

    @cache
    def tails(count: int) -> Tails:
        variant: Variant = {f"models.{name}.instance_group.count": count for name in question.computing}
        return system_tails(system_of(question, variant), question.model, traffic, objectives, rate_per_s, seed)

    one = system_of(question, {f"models.{name}.instance_group.count": 1 for name in question.computing})
    count = _fewest(tails, objectives, "instances", _too_few(one, rate_per_s))
    servers = _servers(question, traffic, objectives, spare)
    return InstancePlan(question.model, count, error, tails(count), tails(count - 1) if count > 1 else None, servers)


def _servers(question: Question, traffic: Traffic, objectives: Objectives, spare: int) -> Replicas | None:
    """Return how many replicas of the server as it is configured a traffic needs, None where no number is enough."""
    system = system_of(question, {})
    try:
        return server_replicas(system, question.model, traffic, objectives, spare=spare, seed=question.seed)
    except AnswerIsNo:
        return None


def server_replicas(
    system: System,
    model: str,
    traffic: Traffic,
    objectives: Objectives,
    *,
    spare: int = 1,
    seed: int = 0,
) -> Replicas:
    """Return how many replicas of a server answer a traffic within the objectives while `spare` of them are down.

    Raises: AnswerIsNo where not even an idle replica is fast enough; UsageError.
    """
    surge = surge_of(spare)
    rate_per_s = traffic_rate_per_s(traffic)

    @cache
    def tails(count: int) -> Tails:
        return system_tails(system, model, traffic, objectives, rate_per_s / count, seed)

    working = _fewest(tails, objectives, "replicas", _too_few(system, rate_per_s))
    down = tails(working)
    most = rate_per_s / working / down.utilisation
    most = min(most, rate_per_s / (working - 1)) if working > 1 else most
    source = f"simulated schedulers: {working} replicas are enough, {working - 1} are not"
    rate = Figure(rate_per_s / working, rate_per_s / working, most, source)
    return Replicas(working, spare, surge, rate, down, tails(working + spare))


def system_tails(
    system: System, model: str, traffic: Traffic, objectives: Objectives, rate_per_s: float, seed: int = 0
) -> Tails:
    """Return what requests for a model meet at that rate; `utilisation` is that of the busiest model's instances.

    Raises: UsageError for objectives on tokens.
    """
    if objectives.ttft_ms is not None or objectives.tpot_ms is not None:
        hint = "give a latency for the whole answer"
        raise UsageError(f"'{model}' is simulated request by request, and objectives are on its tokens", hint=hint)
    requests = requests_for(traffic, rate_per_s, REQUESTS, BURST_S)
    outcome = simulate(system, Sent(model, _sent(traffic, rate_per_s, seed)), requests=requests, seed=seed)
    part = outcome.traffic[0]
    limit_us = math.inf if objectives.latency_ms is None else objectives.latency_ms * 1e3
    latency_ms = {share: part.quantile_us(share) / 1e3 for share in QUANTILES}
    busiest = max(one.utilization for one in outcome.models.values())
    return Tails({}, {}, latency_ms, part.share_within(limit_us), busiest)


def _sent(traffic: Traffic, rate_per_s: float, seed: int) -> Poisson | Bursty | Trace:
    if traffic.arrivals:
        return Trace(tuple(arrival[0] for arrival in arrivals_at(traffic, rate_per_s, REQUESTS, seed)))
    rate_per_s = max(rate_per_s, LEAST_PER_S)
    return Bursty(rate_per_s, traffic.bursts, BURST_S) if traffic.bursts > 1 else Poisson(rate_per_s)


def _too_few(system: System, rate_per_s: float) -> int:
    """Return a number of such servers that cannot keep up: half of what executions need in their largest batches."""
    models = [model for model in system.models.values() if isinstance(model, SimulatedModel)]
    needed = (
        min(us / size for size, us in model.service.mean_us.items()) / 1e6 * rate_per_s / model.instances
        for model in models
    )
    return math.floor(max(needed, default=0.0) / 2)


def _fewest(tails: Callable[[int], Tails], objectives: Objectives, noun: str, low: int) -> int:
    """Return the smallest number with which the objectives are kept to; `low` is too small.

    Raises: AnswerIsNo.
    """

    def holds(count: int) -> bool:
        found = tails(count)
        return found.share_within >= objectives.share and found.utilisation <= KEEPS_UP

    high = low + 1
    while high > MOST or not holds(high):
        if high >= MOST:
            limit = f"{objectives.latency_ms:g} ms" if objectives.latency_ms else "any time"
            message = f"not even {MOST:,} {noun} answer {objectives.share:.4g} of the requests within {limit}"
            raise AnswerIsNo(message, hint="allow more time, or make the model faster")
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _slower(times: ServiceTimes, factor: float) -> ServiceTimes:
    return replace(times, mean_us={size: mean_us * factor for size, mean_us in times.mean_us.items()})


def _spread_of(sweep: Sweep) -> float:
    """Return by which share execution times differ between repeats of one load: the median over loads and variants."""
    groups: dict[tuple[object, ...], list[float]] = {}
    for cell in sweep.cells:
        key = (*sorted(cell.variant.items()), cell.measurement.load)
        compute_us = sum(step.total_us - step.queue_us for step in cell.measurement.steps)
        groups.setdefault(key, []).append(compute_us)
    return median([relative_spread(values) for values in groups.values() if min(values) > 0] or [0.0])
