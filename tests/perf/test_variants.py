from collections import Counter
from itertools import groupby

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import (
    ModelConfig,
    ModelDynamicBatching,
    ModelInstanceGroup,
    ModelSequenceBatching,
)

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import Scalar, SweepPlan, Variation
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.variants import changed_configs, measuring_order, parse_variation, split_field

LOADS = tuple(Load("concurrency", value) for value in (1, 2, 4, 8))
COUNT = Variation("models.a.instance_group.count", (1, 2))
DELAY = Variation("models.a.dynamic_batching.max_queue_delay_microseconds", (0, 100, 200))
TEXT = 'name: "a" max_batch_size: 4 instance_group { count: 1 kind: KIND_CPU } instance_group { count: 3 }'
CONFIGS = {"a": text_format.Parse(TEXT, ModelConfig()), "a.b": ModelConfig(name="a.b")}


def test_values_are_read_as_what_they_look_like() -> None:
    assert parse_variation("models.a.x=1,2.5,true,KIND_CPU") == Variation("models.a.x", (1, 2.5, True, "KIND_CPU"))


@pytest.mark.parametrize("text", ["models.a.x", "a.x=1", "models.a.x="])
def test_a_variation_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot vary"):
        parse_variation(text)


def test_every_repeat_measures_every_load_of_every_variant_once() -> None:
    plan = SweepPlan("a", LOADS, repeats=3, variations=(COUNT, DELAY))
    cells = [
        (repeat, tuple(sorted(variant.items())), load)
        for repeat, variant, loads in measuring_order(plan)
        for load in loads
    ]
    assert len(cells) == len(set(cells)) == plan.cells == 3 * 6 * 4
    assert Counter(repeat for repeat, _, _ in cells) == {0: 24, 1: 24, 2: 24}
    assert [repeat for repeat, _, _ in cells] == sorted(repeat for repeat, _, _ in cells)


def test_each_repeat_has_an_order_of_its_own_and_a_seed_repeats_it() -> None:
    plan = SweepPlan("a", LOADS, repeats=8)
    orders = [loads for _, _, loads in measuring_order(plan)]
    assert len(set(orders)) > 4
    assert orders == [loads for _, _, loads in measuring_order(plan)]
    assert orders != [loads for _, _, loads in measuring_order(SweepPlan("a", LOADS, repeats=8, seed=1))]


def test_instance_counts_change_innermost() -> None:
    for variations in ((COUNT, DELAY), (DELAY, COUNT)):
        order = [variant for _, variant, _ in measuring_order(SweepPlan("a", LOADS, repeats=4, variations=variations))]
        delays = [delay for delay, _ in groupby(order, key=lambda variant: variant[DELAY.field])]
        assert len(delays) <= 4 * 3


def varied(field: str, value: Scalar, model: str = "a") -> ModelConfig:
    return changed_configs({f"models.{model}.{field}": value}, CONFIGS)[model]


def test_a_field_is_set_in_every_entry_of_a_list_and_the_original_is_untouched() -> None:
    groups = varied("instance_group.count", 2).instance_group
    assert [(group.count, group.kind) for group in groups] == [(2, ModelInstanceGroup.KIND_CPU), (2, 0)]
    assert [group.count for group in CONFIGS["a"].instance_group] == [1, 3]


def test_what_is_missing_is_made() -> None:
    assert varied("dynamic_batching.max_queue_delay_microseconds", 100).dynamic_batching == ModelDynamicBatching(
        max_queue_delay_microseconds=100
    )
    assert [group.count for group in varied("instance_group.count", 2, "a.b").instance_group] == [2]


def test_a_list_of_values_takes_one() -> None:
    assert varied("dynamic_batching.preferred_batch_size", 8).dynamic_batching.preferred_batch_size == [8]


@pytest.mark.parametrize("field", ["parameters.mean", "parameters.mean.string_value"])
def test_a_parameter_is_text(field: str) -> None:
    assert varied(field, 0.5).parameters["mean"].string_value == "0.5"


def test_another_scheduler_takes_the_place_of_the_first() -> None:
    config = {"a": ModelConfig(sequence_batching=ModelSequenceBatching())}
    changed = changed_configs({"models.a.dynamic_batching.max_queue_delay_microseconds": 1}, config)["a"]
    assert changed.WhichOneof("scheduling_choice") == "dynamic_batching"


def test_two_fields_of_one_model_go_into_one_configuration() -> None:
    changed = changed_configs({DELAY.field: 100, "models.a.max_batch_size": 8}, CONFIGS)
    assert list(changed) == ["a"]
    assert (changed["a"].max_batch_size, changed["a"].HasField("dynamic_batching")) == (8, True)


def test_a_model_may_have_dots_in_its_name() -> None:
    assert split_field("models.a.b.max_batch_size", CONFIGS) == ("a.b", ("max_batch_size",))


def test_a_misspelt_model_is_named_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'classifier'"):
        split_field("models.clasifier.max_batch_size", ["classifier", "other"])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("instance_groups.count", 1, "unknown field 'instance_groups' of ModelConfig. Did you mean 'instance_group'"),
        ("instance_group.cout", 1, "unknown field 'cout' of ModelInstanceGroup. Did you mean 'count'"),
        ("max_batch_size", "big", "expected a whole number, got 'big'"),
        ("max_batch_size.x", 1, "expected one value"),
        ("optimization.eager_batching", 2, "expected true or false, got '2'"),
        ("instance_group", 2, "'instance_group' has fields of its own"),
    ],
)
def test_what_model_configuration_does_not_have_is_refused(field: str, value: Scalar, said: str) -> None:
    with pytest.raises(UsageError, match=f"--vary models.a.{field}={value}: {said}"):
        varied(field, value)


def test_lists_stand_in_brackets() -> None:
    variation = parse_variation("models.m.dynamic_batching.preferred_batch_size=[],[4],[4, 8]")
    assert variation.values == ("[]", "[4]", "[4,8]")
    changed = changed_configs({variation.field: "[4,8]"}, {"m": ModelConfig()})
    assert list(changed["m"].dynamic_batching.preferred_batch_size) == [4, 8]


def test_a_field_with_fields_is_left_out_by_null_and_given_by_braces() -> None:
    served = {
        "m": ModelConfig(dynamic_batching=ModelDynamicBatching(max_queue_delay_microseconds=5)),
        "n": ModelConfig(),
    }
    field = "models.m.dynamic_batching"
    assert parse_variation(f"{field}=null,{{}}").values == ("null", "{}")
    assert not changed_configs({field: "null"}, served)["m"].HasField("dynamic_batching")
    assert changed_configs({field: "{}"}, served)["m"] == served["m"]
    assert changed_configs({"models.n.dynamic_batching": "{}"}, served)["n"].HasField("dynamic_batching")
