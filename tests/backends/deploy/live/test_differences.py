"""What counts as a difference between a configuration as written and as served."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.deploy.live.differences import differences

WRITTEN = """
backend: "python" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 200 }
input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }
instance_group { kind: KIND_CPU count: 2 }
"""
# As 2.51 serves it.
SERVED = """
name: "m" backend: "python" max_batch_size: 8 version_policy { latest { num_versions: 1 } }
dynamic_batching { preferred_batch_size: 8 max_queue_delay_microseconds: 200 }
input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }
instance_group { name: "m_0" kind: KIND_CPU count: 2 }
optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
default_model_filename: "model.py"
"""


def parsed(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


def test_what_the_server_fills_in_is_no_difference() -> None:
    assert differences(parsed(WRITTEN), parsed(SERVED)) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("count: 2", "count: 4", "instance_group[0].count: 2 -> 4"),
        ("microseconds: 200", "microseconds: 400", "dynamic_batching.max_queue_delay_microseconds: 200 -> 400"),
        ("max_batch_size: 8", "max_batch_size: 4", "max_batch_size: 8 -> 4"),
        ('"x" data_type: TYPE_FP32', '"x" data_type: TYPE_FP16', "input x.data_type: 11 -> 10"),
        ('name: "y"', 'name: "z"', "output z: absent -> z"),
        ("dims: -1 } output", "dims: 3 } output", "input x.dims: [-1] -> [3]"),
        ("KIND_CPU", "KIND_GPU", "instance_group[0].kind: 2 -> 1"),
    ],
)
def test_what_is_written_otherwise_is_one(old: str, new: str, line: str) -> None:
    assert differences(parsed(WRITTEN.replace(old, new)), parsed(SERVED)) == [line]


def test_what_a_backend_completes_is_no_difference() -> None:
    served = SERVED.replace("max_queue_delay_microseconds: 200", "")
    assert differences(parsed('backend: "python"'), parsed(served)) == []


def test_a_setting_that_is_served_and_no_longer_written_is_one() -> None:
    without = WRITTEN.replace("max_queue_delay_microseconds: 200", "")
    assert differences(parsed(without), parsed(SERVED)) == ["dynamic_batching.max_queue_delay_microseconds: 200 -> 0"]


def test_kind_auto_is_what_the_server_makes_of_it() -> None:
    written = WRITTEN.replace("kind: KIND_CPU count: 2", "count: 2")
    assert differences(parsed(written), parsed(SERVED)) == []


def test_the_preferred_batch_size_that_the_server_fills_in_is_none_of_sequences_either() -> None:
    written = "max_batch_size: 16 sequence_batching { oldest { max_candidate_sequences: 64 } }"
    served = written.replace("64 }", "64 preferred_batch_size: 16 } max_sequence_idle_microseconds: 1000000")
    assert differences(parsed(written), parsed(served)) == []


def test_a_batcher_of_defaults_may_be_completed_and_one_with_settings_is_somebodys() -> None:
    without = 'backend: "python" max_batch_size: 8'
    assert differences(parsed(without), parsed(f"{without} dynamic_batching {{ preferred_batch_size: 8 }}")) == []
    assert differences(parsed(without), parsed(SERVED)) == ["dynamic_batching.max_queue_delay_microseconds: 200 -> 0"]
