import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate import (
    DirectSequences,
    DynamicBatching,
    OldestSequences,
    QueuePolicy,
    RateLimit,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    cores,
    read_system,
)

SERVICE = ServiceTimes({1: 100.0})


def model_of(text: str) -> SimulatedModel:
    model = read_system({"m": text_format.Parse(text, ModelConfig())}, {"m": SERVICE}).models["m"]
    assert isinstance(model, SimulatedModel)
    return model


def test_a_dynamic_batcher_is_read_whole() -> None:
    model = model_of("""
        max_batch_size: 16
        instance_group [{kind: KIND_GPU gpus: [0, 1] count: 2}, {kind: KIND_CPU}]
        dynamic_batching {
          preferred_batch_size: [4, 8] max_queue_delay_microseconds: 300 preserve_ordering: true
          priority_levels: 2 default_priority_level: 1
          default_queue_policy {max_queue_size: 7}
          priority_queue_policy {key: 2 value {timeout_action: DELAY default_timeout_microseconds: 50}}
        }""")
    delayed = {2: QueuePolicy("DELAY", 50)}
    assert (model.max_batch_size, model.instances) == (16, 5)
    assert model.scheduler == DynamicBatching((4, 8), 300, True, 2, 1, QueuePolicy(max_queue_size=7), delayed)


def test_sequence_batchers_are_read() -> None:
    direct = "direct {max_queue_delay_microseconds: 5 minimum_slot_utilization: 0.5}"
    assert model_of(f"sequence_batching {{{direct}}}").scheduler == DirectSequences(5, 0.5)
    assert model_of("sequence_batching {}").scheduler == DirectSequences()
    oldest = "oldest {max_candidate_sequences: 9 preferred_batch_size: 2 max_queue_delay_microseconds: 5}"
    assert model_of(f"sequence_batching {{{oldest}}}").scheduler == OldestSequences(9, (2,), 5)


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ("", 1),
        ('backend: "onnxruntime"', 2),
        ('backend: "onnxruntime" instance_group [{kind: KIND_GPU}]', 1),
        ("instance_group [{count: 3}]", 3),
    ],
)
def test_instances_are_counted_as_triton_fills_them_in(text: str, instances: int) -> None:
    assert model_of(text).instances == instances


@pytest.mark.parametrize(("entry", "checks"), [("dims: [4]", False), ("dims: [-1]", True)])
def test_free_axes_make_the_batcher_look_at_every_request(entry: str, checks: bool) -> None:
    assert model_of(f'input [{{name: "x" {entry}}}]').checks_shapes == checks
    assert not model_of(f'input [{{name: "x" {entry} allow_ragged_batch: true}}]').checks_shapes


def test_resources_belong_to_a_device_unless_they_are_global() -> None:
    model = model_of("""instance_group [{gpus: [0, 1] rate_limiter {
        priority: 3 resources [{name: "R" count: 2}, {name: "G" global: true count: 1}]}}]""")
    assert model.limits == (RateLimit({"R on 0": 2, "G": 1}, 3), RateLimit({"R on 1": 2, "G": 1}, 3))


def test_an_ensembles_steps_follow_those_that_make_their_inputs() -> None:
    ensemble = text_format.Parse(
        """ensemble_scheduling {step [
            {model_name: "m" input_map {key: "x" value: "image"} output_map {key: "y" value: "features"}},
            {model_name: "m" input_map {key: "x" value: "features"} output_map {key: "y" value: "label"}}]}""",
        ModelConfig(),
    )
    system = read_system({"m": ModelConfig(), "e": ensemble}, {"m": SERVICE}, contention=cores(2))
    assert system.models["e"] == SimulatedEnsemble((Step("m"), Step("m", frozenset([0]))))
    assert system.contention == cores(2)


def test_a_model_without_service_times_is_named() -> None:
    with pytest.raises(UsageError, match="no service times for 'm'"):
        read_system({"m": ModelConfig()}, {})
