import math
from collections.abc import Callable

import numpy as np
import pytest

from tritonsmith.perf.simulate import (
    ClosedLoop,
    Constant,
    DynamicBatching,
    Outcome,
    Poisson,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
    Traffic,
    cores,
    simulate,
)

SERVICE_US = 1000.0
SEEDS = range(12)
Model = Callable[..., SimulatedModel]


def server(variation: float, instances: int = 1) -> System:
    return System({"m": SimulatedModel(ServiceTimes({1: SERVICE_US}, variation), instances=instances)})


def at_load(system: System, load: float, seed: int, instances: int = 1) -> Outcome:
    rate_per_s = load * instances * 1e6 / SERVICE_US
    return simulate(system, Traffic("m", Poisson(rate_per_s)), requests=20_000, seed=seed)


def assert_mean(values: list[float], theory: float) -> None:
    """The theory lies within four standard errors of the mean over the seeds, and these are small."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    assert error < 0.04 * theory
    assert abs(float(np.mean(values)) - theory) < 4 * error + 1e-9


def erlang_c(offered: float, instances: int) -> float:
    """Return the probability that an arrival waits in M/M/c."""
    terms = [offered**k / math.factorial(k) for k in range(instances)]
    last = offered**instances / math.factorial(instances) * instances / (instances - offered)
    return last / (sum(terms) + last)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_exponential_service_waits_as_in_m_m_1(load: float) -> None:
    waits = [at_load(server(1.0), load, seed).models["m"].queue_us for seed in SEEDS]
    assert_mean(waits, SERVICE_US * load / (1 - load))


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_constant_service_waits_as_in_m_d_1(load: float) -> None:
    waits = [at_load(server(0.0), load, seed).models["m"].queue_us for seed in SEEDS]
    assert_mean(waits, SERVICE_US * load / (2 * (1 - load)))


def test_any_variation_waits_as_pollaczek_and_khinchine_say() -> None:
    waits = [at_load(server(0.5), 0.7, seed).models["m"].queue_us for seed in SEEDS]
    assert_mean(waits, SERVICE_US * 0.7 * (1 + 0.5**2) / (2 * 0.3))


@pytest.mark.parametrize("instances", [2, 4])
def test_several_instances_wait_as_in_m_m_c(instances: int) -> None:
    waits = [at_load(server(1.0, instances), 0.8, seed, instances).models["m"].queue_us for seed in SEEDS]
    assert_mean(waits, erlang_c(0.8 * instances, instances) * SERVICE_US / (instances * 0.2))


@pytest.mark.parametrize("variation", [0.0, 1.0])
def test_sharing_one_core_takes_as_long_as_in_processor_sharing(variation: float) -> None:
    models = server(variation, instances=200).models
    outcomes = [at_load(System(models, contention=cores(1)), 0.6, seed) for seed in SEEDS]
    assert_mean([outcome.mean_us for outcome in outcomes], SERVICE_US / 0.4)


def test_a_closed_loop_has_the_throughput_of_mean_value_analysis() -> None:
    clients, think_us = 6, 3000.0
    queued = rate = 0.0  # exact for exponential service; the think time may have any distribution
    for number in range(1, clients + 1):
        time_us = SERVICE_US * (1 + queued)
        rate = number / (think_us + time_us)
        queued = rate * time_us
    traffic = Traffic("m", ClosedLoop(clients, think_us))
    measured = [simulate(server(1.0), traffic, requests=20_000, seed=seed).throughput_per_s for seed in SEEDS]
    assert_mean(measured, rate * 1e6)


@pytest.mark.parametrize("load", [0.5, 2.0, 6.0])
def test_the_dynamic_batcher_waits_as_the_general_bulk_service_rule_says(load: float) -> None:
    """M/M(1,b)/1: an instance takes all that wait, up to b; n wait with probability p r^n while it is busy."""
    most, arrivals, services = 8, load, 1.0
    roots = np.roots([services, *[0.0] * (most - 1), -(arrivals + services), arrivals])
    (ratio,) = (root.real for root in roots if abs(root.imag) < 1e-9 and 0 < root.real < 1 - 1e-9)
    busy = 1 / (services / arrivals + 1 / (1 - ratio))
    wait_us = SERVICE_US * busy * ratio / (1 - ratio) ** 2 / arrivals
    service = ServiceTimes({1: SERVICE_US, most: SERVICE_US}, 1.0)
    system = System({"m": SimulatedModel(service, most, 1, DynamicBatching())})
    assert_mean([at_load(system, load, seed).models["m"].queue_us for seed in SEEDS], wait_us)


def test_steps_in_a_row_take_as_long_as_a_tandem_of_queues() -> None:
    models = {name: SimulatedModel(ServiceTimes({1: time_us}, 1.0)) for name, time_us in (("a", 1000.0), ("b", 500.0))}
    system = System({**models, "e": SimulatedEnsemble((Step("a"), Step("b", frozenset({0}))))})
    times = [simulate(system, Traffic("e", Poisson(600)), requests=20_000, seed=seed).mean_us for seed in SEEDS]
    assert_mean(times, 1e6 / (1000 - 600) + 1e6 / (2000 - 600))


def test_instances_are_busy_for_the_load_they_have() -> None:
    assert_mean([at_load(server(1.0, 2), 0.6, seed, 2).models["m"].utilization for seed in SEEDS], 0.6)


def test_what_is_in_the_system_is_rate_times_latency() -> None:
    service = ServiceTimes({1: SERVICE_US, 8: 2 * SERVICE_US}, 0.3)
    system = System({"m": SimulatedModel(service, 8, 2, DynamicBatching(max_queue_delay_us=300))})
    part = simulate(system, Traffic("m", Poisson(3000)), requests=100_000).traffic[0]
    begin_ns, end_ns = int(part.answered_ns[0]), int(part.sent_ns[-1])
    moments = np.random.default_rng(1).integers(begin_ns, end_ns, 20_000)
    seen = np.searchsorted(np.sort(part.sent_ns), moments) - np.searchsorted(np.sort(part.answered_ns), moments)
    assert seen.mean() == pytest.approx(part.throughput_per_s * part.mean_us / 1e6, rel=0.02)


def test_constant_arrivals_that_fit_never_wait() -> None:
    outcome = simulate(server(0.0), Traffic("m", Constant(900)), requests=1000)
    assert outcome.models["m"].queue_us == 0
    assert outcome.p99_us == SERVICE_US
