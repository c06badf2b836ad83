"""How many instances or replicas a model of Triton's schedulers needs: made-up sweeps, and queueing theory."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.plan.core import Objectives, Traffic
from tritonsmith.perf.plan.replicas.instances import instances_for, server_replicas
from tritonsmith.perf.simulate import ServiceTimes, SimulatedModel, System, replicas_for

WAIT_S = 0.002
CONFIGS = {"digits": ModelConfig(name="digits", backend="python")}
MakeSweep = Callable[..., Sweep]


@pytest.fixture
def sweep(make_sweep: MakeSweep) -> Sweep:
    """Concurrency 1 of a model whose executions take 2 ms, always."""
    made = make_sweep((Load("concurrency", 1),), noise=0.0)
    cells = []
    for cell in made.cells:
        step = replace(
            cell.measurement.steps[0],
            model="digits",
            compute_input_us=0.0,
            compute_infer_us=WAIT_S * 1e6,
            compute_output_us=0.0,
            queue_us=0.0,
            batch_sizes={1: 400},
        )
        flat = replace(
            cell.measurement.latency, mean_us=2100, p50_us=2100, p90_us=2100, p95_us=2100, p99_us=2100, max_us=2100
        )
        cells.append(replace(cell, measurement=replace(cell.measurement, steps=(step,), latency=flat)))
    return replace(made, cells=tuple(cells))


@pytest.mark.parametrize(
    ("load", "limit_s"),
    [(0.5, 0.02), (2.4, 0.02), (2.9, 0.02), (4.3, 0.02), (7.2, 0.02), (0.9, 0.005), (3.6, 0.005), (5.8, 0.005)],
)
def test_loads_get_the_instances_that_they_need_or_one_more(sweep: Sweep, load: float, limit_s: float) -> None:
    plan = instances_for(sweep, CONFIGS, Traffic(load / WAIT_S, 0, 0), Objectives(latency_ms=limit_s * 1e3))
    needed = fewest_that_answer(load / WAIT_S, limit_s)
    assert needed <= plan.instances <= needed + 1
    assert plan.tails.share_within >= 0.99
    assert (plan.one_less is None) == (plan.instances == 1)
    assert plan.error == 0.03


def fewest_that_answer(rate_per_s: float, limit_s: float, requests: int = 10_000) -> int:
    """Return how many instances answer 99 % of requests in time that come at random, each going to the first free."""
    draw = random.Random(7)
    comes_s = list(itertools.accumulate(draw.expovariate(rate_per_s) for _ in range(requests)))
    for instances in itertools.count(1):
        free_s, late = [0.0] * instances, 0
        for come_s in comes_s:
            done_s = max(come_s, heapq.heappop(free_s)) + WAIT_S
            heapq.heappush(free_s, done_s)
            late += done_s - come_s > limit_s
        if late <= 0.01 * requests:
            return instances
    raise AssertionError


def test_replicas_of_the_server_as_it_is_configured_are_told_too(sweep: Sweep) -> None:
    two = ModelConfig(name="digits", backend="python")
    two.instance_group.add(count=2, kind="KIND_CPU")
    one, of_two = (
        instances_for(sweep, {"digits": config}, Traffic(900, 0, 0), Objectives(latency_ms=40), spare=2).servers
        for config in (CONFIGS["digits"], two)
    )
    assert one is not None and of_two is not None
    assert (one.spare, one.total) == (2, one.working + 2)
    assert one.working >= 2 and of_two.working >= 1  # 1.8 of them are busy all the time
    assert of_two.working <= one.working / 2 + 1


def test_models_that_batch_sequences_are_refused(sweep: Sweep) -> None:
    config = ModelConfig(name="digits", backend="python")
    config.sequence_batching.SetInParent()
    with pytest.raises(UsageError, match="batches sequences"):
        instances_for(sweep, {"digits": config}, Traffic(10, 0, 0), Objectives())


def test_repeats_that_differ_make_a_plan_careful(sweep: Sweep) -> None:
    cells = [
        replace(
            cell,
            measurement=replace(
                cell.measurement,
                steps=(replace(cell.measurement.steps[0], compute_infer_us=2000.0 * (0.8 + 0.1 * place)),),
            ),
        )
        for place, cell in enumerate(sweep.cells)
    ]
    plan = instances_for(replace(sweep, cells=tuple(cells)), CONFIGS, Traffic(100, 0, 0), Objectives())
    assert plan.error == pytest.approx(0.148, abs=0.01)
    assert plan.tails.utilisation == pytest.approx(100 * WAIT_S * (1 + plan.error), rel=0.02)


def test_without_a_limit_instances_are_not_busy_all_the_time(sweep: Sweep) -> None:
    plan = instances_for(sweep, CONFIGS, Traffic(2.88 / WAIT_S, 0, 0), Objectives())  # 2.97 with the error of 3 %
    assert plan.instances == 4


def test_a_limit_below_an_execution_is_answered_with_no(sweep: Sweep) -> None:
    with pytest.raises(AnswerIsNo, match=r"not even 4,096 instances .* within 1 ms"):
        instances_for(sweep, CONFIGS, Traffic(10, 0, 0), Objectives(latency_ms=1))


def test_a_rate_beyond_all_instances_is_answered_at_once(sweep: Sweep) -> None:
    with pytest.raises(AnswerIsNo, match=r"not even 4,096 instances"):
        instances_for(sweep, CONFIGS, Traffic(1e12, 0, 0), Objectives(latency_ms=20))


def test_a_request_a_year_takes_one_instance(sweep: Sweep) -> None:
    assert instances_for(sweep, CONFIGS, Traffic(3e-8, 0, 0), Objectives(latency_ms=20)).instances == 1


def test_objectives_on_tokens_are_refused(sweep: Sweep) -> None:
    with pytest.raises(UsageError, match="on its tokens"):
        instances_for(sweep, CONFIGS, Traffic(10, 0, 0), Objectives(ttft_ms=100))


EXPONENTIAL = System({"m": SimulatedModel(ServiceTimes({1: 1000.0}, variation=1.0))})


def test_replicas_of_a_server_are_those_of_queueing_theory() -> None:
    found = server_replicas(EXPONENTIAL, "m", Traffic(2000, 0, 0), Objectives(latency_ms=10))
    highest = 1000 - math.log(100) / 0.010  # M/M/1: the time in the system is exponential, too
    assert found.working == math.ceil(2000 / highest)
    assert found.rate_per_replica.low <= highest <= found.rate_per_replica.high
    assert found.tails_all_up.latency_ms[0.99] < found.tails.latency_ms[0.99] <= 10
    assert (found.spare, found.surge) == (1, 0)


def test_replicas_of_a_server_are_those_that_simulate_says() -> None:
    found = server_replicas(EXPONENTIAL, "m", Traffic(2500, 0, 0), Objectives(latency_ms=10), spare=2)
    said = replicas_for(EXPONENTIAL, "m", 2500, 10_000, share=0.99, spare=2)
    assert abs(found.total - said.replicas) <= 1


def test_replicas_of_a_server_under_bursts_and_recorded_arrivals() -> None:
    calm = server_replicas(EXPONENTIAL, "m", Traffic(2000, 0, 0), Objectives(latency_ms=10)).working
    wild = server_replicas(EXPONENTIAL, "m", Traffic(2000, 0, 0, bursts=4.0), Objectives(latency_ms=10)).working
    even = Traffic(0, 0, 0, arrivals=tuple((place * 0.0005, 0, 0) for place in range(4000)))
    recorded = server_replicas(EXPONENTIAL, "m", even, Objectives(latency_ms=10)).working
    assert recorded == pytest.approx(calm, abs=1)  # a random part of even arrivals is nearly random
    assert wild > 2 * calm
