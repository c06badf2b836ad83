"""What is probed, and what predictions are made of it."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.served import computing
from tritonsmith.perf.simulate import Contention, ServiceTimes
from tritonsmith.perf.tune.arena.live import goals_of
from tritonsmith.perf.tune.arena.predict import Calibrated, Predictor, work_key
from tritonsmith.perf.tune.arena.probes import contention_of, probing_config, works_of
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.variants import changed_configs

MODEL = """name: "m" backend: "python" max_batch_size: 8 dynamic_batching {}
input [{name: "x" data_type: TYPE_FP32 dims: [4]}] output [{name: "y" data_type: TYPE_FP32 dims: [4]}]
instance_group [{kind: KIND_CPU count: 1}]"""
ENSEMBLE = """name: "pipe" platform: "ensemble" max_batch_size: 8 ensemble_scheduling {step [
{model_name: "m" input_map {key: "x" value: "x"} output_map {key: "y" value: "a"}},
{model_name: "n" input_map {key: "x" value: "a"} output_map {key: "y" value: "y"}}]}"""


def parse(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


BASE = {"pipe": parse(ENSEMBLE), "m": parse(MODEL), "n": parse(MODEL.replace('name: "m"', 'name: "n"'))}


def variant(**fields: int | str) -> dict[str, ModelConfig]:
    changes = {f"models.m.{field.replace('__', '.')}": value for field, value in fields.items()}
    return {**BASE, **changed_configs(changes, BASE)}


def test_a_pipeline_computes_in_its_steps_alone() -> None:
    assert computing("pipe", BASE) == ("m", "n")
    assert computing("n", BASE) == ("n",)


def test_instances_batches_and_delays_share_the_probes_of_a_model() -> None:
    configs = [
        BASE,
        variant(instance_group__count=3),
        variant(max_batch_size=16),
        variant(dynamic_batching__max_queue_delay_microseconds=500),
    ]
    works = list(works_of(["m"], configs, {}))
    assert len(works) == 1
    assert works[0].most_instances == 3
    assert works[0].config.max_batch_size == 16
    assert works[0].config.instance_group[0].count == 1
    assert works[0].config.dynamic_batching.max_queue_delay_microseconds == 0


def test_what_changes_the_work_itself_has_probes_of_its_own() -> None:
    configs = [BASE, variant(default_model_filename="int8.onnx"), variant(default_model_filename="int8.onnx")]
    works = list(works_of(["m", "n"], configs, {}))
    assert [(work.model, work.config.default_model_filename) for work in works] == [
        ("m", "int8.onnx"),
        ("m", ""),
        ("n", ""),
    ]


def test_a_model_that_calls_another_works_otherwise_with_more_instances_of_it() -> None:
    calls = {"n": ["m"]}
    assert work_key("n", variant(instance_group__count=2), calls) != work_key("n", BASE, calls)
    assert work_key("n", variant(instance_group__count=2), {}) == work_key("n", BASE, {})


def test_a_model_that_no_candidate_batches_is_probed_without_a_batcher() -> None:
    plain = parse(MODEL)
    plain.ClearField("dynamic_batching")
    assert not probing_config([plain, plain]).HasField("dynamic_batching")
    assert probing_config([plain, parse(MODEL)]).HasField("dynamic_batching")


def test_contention_is_linear_between_the_counts_that_were_probed_and_never_falls() -> None:
    assert contention_of({}).factors == (1.0,)
    assert contention_of({2: 1.5, 4: 2.5}).factors == (1.0, 1.5, 2.0, 2.5)
    assert contention_of({2: 1.6, 3: 1.2}).factors == (1.0, 1.6, 1.6)


@pytest.mark.parametrize(
    ("limits", "goals"),
    [
        ((), Goals()),
        ((Limit("p50_ms", 10), Limit("p99_ms", 50), Limit("memory_mib", 100)), Goals(latency_ms=50)),
        ((Limit("ttft_ms", 200), Limit("tpot_ms", 30)), Goals(200, 30, None)),
    ],
)
def test_a_single_answer_is_good_within_the_longest_limit_on_latency(limits: tuple[Limit, ...], goals: Goals) -> None:
    assert goals_of(limits) == goals


def predictor(latency_us: float = 3000.0, goals: Goals = Goals()) -> Predictor:  # noqa: B008
    services = {(name, work_key(name, BASE, {})): ServiceTimes({1: 1000, 8: 2400}) for name in ("m", "n")}
    return Predictor(Calibrated("pipe", BASE, services, Contention((1.0,) * 4), latency_us, {}), goals)


def test_what_the_steps_leave_of_the_latency_as_served_is_overhead() -> None:
    assert predictor().overhead.mean_us == pytest.approx(1000, abs=20)
    assert predictor(latency_us=500.0).overhead.mean_us == 0
    assert predictor()(Candidate("as served", {}), Load("concurrency", 1)).mean_ms == pytest.approx(3.0, abs=0.05)


def test_clients_do_not_go_on_in_step_after_a_batch() -> None:
    found = predictor()(Candidate("as served", {}), Load("concurrency", 6))
    assert found.p99_ms > 1.1 * found.p50_ms


def test_predictions_follow_instances_and_limits() -> None:
    predict = predictor(goals=Goals(latency_ms=3.5))
    one, load = Candidate("one", {}), Load("concurrency", 32)
    two = Candidate("two", {f"models.{name}.instance_group.count": 2 for name in "mn"})
    assert predict(two, load).throughput_per_s > 1.3 * predict(one, load).throughput_per_s
    assert predict(one, load).good_per_s < 0.1 * predict(one, load).throughput_per_s
    assert predict(one, Load("concurrency", 1)).good_per_s > 0
    found = predict(one, load)
    assert found.p50_ms <= found.p90_ms <= found.p95_ms <= found.p99_ms


def test_past_what_a_model_can_do_a_rate_is_answered_at_its_capacity() -> None:
    found = predictor()(Candidate("one", {}), Load("request_rate", 20_000))
    assert found.throughput_per_s < 5000
    assert found.p99_ms > 20
