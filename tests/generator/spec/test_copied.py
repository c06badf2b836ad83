"""A blueprint's values that are settings of the spec stand where the spec has them."""

from tritonsmith.generator.findings import Place
from tritonsmith.generator.spec.copied import with_places_of
from tritonsmith.generator.spec.tree import Mapping, Scalar, Sequence, mapping_from_data, parse_tree

PIPELINE = Place("s.yaml", 1, 1)
SETTINGS = parse_tree("with:\n  max_batch_size: 8\n  file: a.onnx\n  nested: {count: 2}\n", "s.yaml", [])


def placed(data: dict[str, object]) -> Mapping:
    return with_places_of(mapping_from_data(data, PIPELINE), SETTINGS)


def test_a_value_of_a_settings_name_stands_where_the_setting_does() -> None:
    model = placed({"m": {"max_batch_size": 8, "instance_group": [{"count": 2}]}}).entries["m"]
    assert isinstance(model, Mapping)
    assert model.place_of("max_batch_size") == Place("s.yaml", 2, 3)
    assert model.entries["max_batch_size"] == Scalar("8", Place("s.yaml", 2, 19))
    groups = model.entries["instance_group"]
    assert isinstance(groups, Sequence)
    (group,) = groups.items
    assert isinstance(group, Mapping)
    assert group.place_of("count") == Place("s.yaml", 4, 12)


def test_what_the_blueprint_chose_itself_stands_at_the_pipeline() -> None:
    model = placed({"m": {"max_batch_size": 4, "backend": "python"}}).entries["m"]
    assert isinstance(model, Mapping)
    assert {model.place_of(key) for key in model.entries} == {PIPELINE}
    assert {node.place for node in model.entries.values()} == {PIPELINE}
