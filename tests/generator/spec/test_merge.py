from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import NOWHERE
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.merge import merge_message


def merged(lower: dict[str, Any], upper: dict[str, Any]) -> Any:
    nodes = [tree.from_data(layer, NOWHERE) for layer in (lower, upper)]
    assert isinstance(nodes[0], tree.Mapping)
    assert isinstance(nodes[1], tree.Mapping)
    return tree.to_data(merge_message(nodes[0], nodes[1], ModelConfig.DESCRIPTOR))


def test_inputs_merge_by_name_and_other_lists_are_replaced() -> None:
    lower = {"input": [{"name": "x", "dims": [4]}, {"name": "y", "dims": [1]}], "instance_group": [{"count": 1}, {}]}
    upper = {"input": [{"name": "y", "dims": [2]}, {"name": "z"}], "instance_group": [{"count": 3}]}
    assert merged(lower, upper) == {
        "input": [{"name": "x", "dims": ["4"]}, {"name": "y", "dims": ["2"]}, {"name": "z"}],
        "instance_group": [{"count": "3"}],
    }


def test_states_merge_by_their_input_name() -> None:
    def layer(dims: list[int]) -> dict[str, Any]:
        return {"sequence_batching": {"state": [{"input_name": "s", "dims": dims}]}}

    assert merged(layer([1]), layer([2]))["sequence_batching"]["state"] == [{"input_name": "s", "dims": ["2"]}]


def test_a_member_of_a_oneof_clears_its_siblings_of_the_layer_below() -> None:
    assert merged({"dynamic_batching": {}}, {"sequence_batching": {"direct": {}}}) == {
        "sequence_batching": {"direct": {}}
    }
    assert merged({"sequence_batching": {"direct": {}}}, {"sequence_batching": {"oldest": {}}}) == {
        "sequence_batching": {"oldest": {}}
    }


def test_two_members_of_one_layer_stay_for_the_reader_to_refuse() -> None:
    both: dict[str, Any] = {"sequence_batching": {}, "dynamic_batching": {}}
    assert merged({}, both) == both


def test_null_deletes() -> None:
    assert merged({"dynamic_batching": {}, "max_batch_size": 8}, {"dynamic_batching": None}) == {"max_batch_size": "8"}


def test_parameters_merge_by_key() -> None:
    assert merged({"parameters": {"a": "1", "b": "2"}}, {"parameters": {"b": "3"}}) == {
        "parameters": {"a": "1", "b": "3"}
    }
