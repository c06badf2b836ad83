from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import NOWHERE, Finding
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.data import message_data
from tritonsmith.generator.spec.message import Filler, descriptor_of


def fill(text: str) -> tuple[ModelConfig, list[Finding], Filler]:
    findings: list[Finding] = []
    filler = Filler(findings)
    config = filler.fill(ModelConfig(), tree.parse_tree(text, "s.yaml", findings), key="models.m")
    return config, findings, filler


EVERYTHING = """
backend: onnxruntime
max_batch_size: 8
version_policy: {specific: {versions: [1, 3]}}
input: [{name: x, data_type: TYPE_FP32, format: FORMAT_NCHW, dims: [3, -1, 8], reshape: {shape: []}, optional: true}]
output: [{name: y, data_type: TYPE_STRING, dims: [1], label_filename: labels.txt}]
optimization: {graph: {level: 1}, priority: PRIORITY_MAX, cuda: {graphs: true, output_copy_stream: false}}
dynamic_batching:
  preferred_batch_size: [4, 8]
  priority_levels: 18446744073709551615
  default_queue_policy: {timeout_action: DELAY, default_timeout_microseconds: 5, allow_timeout_override: true}
  priority_queue_policy: {2: {max_queue_size: 3}}
instance_group: [{kind: KIND_GPU, gpus: [0, 1], rate_limiter: {resources: [{name: R, global: true, count: 2}]}}]
parameters: {a: 0.50, b: {string_value: "x"}, c: on}
model_warmup: [{name: w, batch_size: 1, inputs: {x: {data_type: TYPE_FP32, dims: [4], zero_data: true}}}]
model_transaction_policy: {decoupled: true}
response_cache: {enable: true}
cc_model_filenames: {"7.5": model.plan}
"""


def test_every_kind_of_field_is_reached_by_its_own_name() -> None:
    config, findings, _ = fill(EVERYTHING)
    assert not findings
    assert config.dynamic_batching.priority_levels == 2**64 - 1
    assert config.dynamic_batching.priority_queue_policy[2].max_queue_size == 3
    assert config.parameters["a"].string_value == "0.50"
    assert config.parameters["c"].string_value == "on"
    assert getattr(config.instance_group[0].rate_limiter.resources[0], "global") is True
    assert config.input[0].HasField("reshape")


def set_everything(message: Message, member_of_oneofs: int) -> None:
    """Set every field of a message, of each oneof the member of this number."""
    for field in descriptor_of(message).fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[member_of_oneofs % len(oneof.fields)].name != field.name:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key, inner = (field.message_type.fields_by_name[part] for part in ("key", "value"))
            if inner.message_type is not None:
                set_everything(value[sample(key)], member_of_oneofs)
            else:
                value[sample(key)] = sample(inner)
        elif field.message_type is not None:
            part = value.add() if field.is_repeated else value
            part.SetInParent()
            set_everything(part, member_of_oneofs)
        elif field.is_repeated:
            value.append(sample(field))
        else:
            setattr(message, field.name, sample(field))


def sample(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    texts = {FieldDescriptor.CPPTYPE_STRING: "010 # ü", FieldDescriptor.CPPTYPE_BOOL: True}
    return texts.get(field.cpp_type, 7)


@pytest.mark.parametrize("member_of_oneofs", range(8))
def test_every_field_there_is_can_be_written_under_its_own_name(member_of_oneofs: int) -> None:
    everything = ModelConfig()
    set_everything(everything, member_of_oneofs)
    assert len(everything.ListFields()) == len(ModelConfig.DESCRIPTOR.fields) - 2  # of three schedulers one
    config, findings, _ = fill(yaml.safe_dump(message_data(everything), allow_unicode=True))
    assert not findings
    assert config == everything


def test_a_message_as_data_fills_an_equal_message() -> None:
    config, _, _ = fill(EVERYTHING)
    findings: list[Finding] = []
    again = tree.from_data(message_data(config), NOWHERE)
    assert isinstance(again, tree.Mapping)
    assert Filler(findings).fill(ModelConfig(), again, key="m") == config
    assert not findings


def test_an_empty_message_is_present() -> None:
    config, _, _ = fill("dynamic_batching: {}")
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
    assert text_format.MessageToString(config) == "dynamic_batching {\n}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dynamic_batchin: {}", "unknown field 'dynamic_batchin' of ModelConfig. Did you mean 'dynamic_batching'?"),
        ("dynamic_batching: {max_queue_delay_micros: 1}", "Did you mean 'max_queue_delay_microseconds'?"),
        ("input: [{data_type: FP32}]", "unknown DataType 'FP32'. Did you mean 'TYPE_FP32'?"),
        ("instance_group: [{kind: cpu}]", "unknown Kind 'cpu'. Did you mean 'KIND_CPU'?"),
        ("max_batch_size: 4.0", "expected a whole number, got '4.0'"),
        ("max_batch_size: 2147483648", "2147483648 is out of range: from -2147483648 to 2147483647"),
        ("dynamic_batching: {priority_levels: -1}", "-1 is out of range"),
        ("response_cache: {enable: yes}", "expected true or false, got 'yes'"),
        ("input: {name: x}", "expected a list, got a mapping"),
        ("dynamic_batching: [1]", "expected a mapping, got a list"),
        ("max_batch_size: [1]", "expected one value, got a list"),
        ("sequence_batching: {direct: {}, oldest: {}}", "'oldest' excludes 'direct' (line 1): give one of them"),
        ("dynamic_batching:", "no value is given"),
        ("sequence_batching: {direct: {minimum_slot_utilization: nan}}", "expected a finite number, got 'nan'"),
        ("sequence_batching: {direct: {minimum_slot_utilization: 1e39}}", "1e39 is out of range: from -3.40282e+38"),
        ("max_batch_size: 010", "expected a whole number, got '010'"),
        (f"max_batch_size: {'9' * 30}", f"{'9' * 30} is out of range"),
        ("max_batch_size:", "no value is given"),
        ("parameters: {a: }", "no value is given"),
        ("model_operations: {op_library_filename: [null]}", "no value is given"),
        ("input: [null]", "no value is given"),
    ],
)
def test_a_mistake_is_told_with_its_value(text: str, message: str) -> None:
    _, findings, _ = fill(text)
    assert len(findings) == 1
    assert message in findings[0].message
    assert findings[0].place.line == 1


def test_null_leaves_a_field_or_an_entry_out() -> None:
    config, findings, _ = fill("max_batch_size: null\nparameters: {a: null, b: 'null'}\ndynamic_batching: ~\n")
    assert not findings
    assert text_format.MessageToString(config, as_one_line=True) == (
        'parameters { key: "b" value { string_value: "null" } }'
    )


def test_all_mistakes_are_told_at_once_with_their_keys() -> None:
    _, findings, _ = fill("max_batch_size: a\ninstance_group:\n  - {count: b}\n  - {knd: KIND_CPU}\n")
    assert [(f.place.line, f.key) for f in findings] == [
        (1, "models.m.max_batch_size"),
        (3, "models.m.instance_group[0].count"),
        (4, "models.m.instance_group[1].knd"),
    ]


def test_each_field_knows_where_it_was_written() -> None:
    _, _, filler = fill("max_batch_size: 4\ndynamic_batching:\n  preferred_batch_size: [4]\n")
    assert filler.origins["dynamic_batching.preferred_batch_size"].line == 3
    assert filler.origins["max_batch_size"].line == 1
