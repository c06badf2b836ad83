from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tritonsmith.ensembles.blueprint import blueprint_names, find_blueprint
from tritonsmith.generator.spec.schema import spec_schema

SCHEMA = spec_schema({name: find_blueprint(name).settings.model_json_schema() for name in blueprint_names()})
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", blueprint_names())
def test_every_blueprints_spec_is_valid(name: str) -> None:
    spec = yaml.safe_load((find_blueprint(name).folder / "spec.yaml").read_text())
    assert not list(VALIDATOR.iter_errors(spec))


@pytest.mark.parametrize(
    "spec",
    [
        {"modells": {}},
        {"triton": "24.99"},
        {"models": {"a b": {}}},
        {"models": {"a": {"max_batch_siz": 1}}},
        {"models": {"a": {"input": [{"data_type": "FP32"}]}}},
        {"models": {"a": {"instance_group": {"count": 1}}}},
        {"models": {"a": {"ensemble": [{"input_map": {}}]}}},
        {"server": {"http_port": 70000}},
        {"pipelines": {"p": {"use": "image_classification", "with": {"fil": "x"}}}},
        {"pipelines": {"p": {"use": "text_generation", "engine": {"form": "x"}}}},
        {"pipelines": {"p": {"use": "text_generation", "replicas": 0}}},
        {"pipelines": {"p": {"use": "text_generation", "with": {"instances": {"classifier": 1}}}}},
        {"profiles": {"p": {"profiles": {}}}},
        {"tune": {"objective": "fast"}},
        {"tune": {"limits": {"p98_ms": 5}}},
        {"tune": {"vary": {"m": {"max_batch_size": 4}}}},
        {"models": {"m": {"variants": {"int8": 5}}}},
    ],
    ids=str,
)
def test_an_editor_marks_mistakes(spec: dict[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(spec))


def test_short_forms_are_valid() -> None:
    spec = yaml.safe_load(
        "hardware: none\nmodels:\n  a: {file: {1: a.onnx}, parameters: {mean: 0.5}, dynamic_batching: null}\n"
        "  e: {ensemble: [a, {model_name: a, output_map: {x: y}}], calls: [a], expose: [x]}\n  b: null\n"
    )
    assert not [error for error in VALIDATOR.iter_errors(spec) if "propertyNames" not in error.schema_path]


def test_a_tuning_is_valid() -> None:
    spec = yaml.safe_load(
        "models: {m: {file: a.onnx, variants: {int8: b.onnx}}}\n"
        "tune: {objective: goodput, limits: {p99_ms: 50}, loads: {request_rate: [10, 20.5]}, vary: {m: {variants: [a],"
        " dynamic_batching: [null, {}], dynamic_batching.preferred_batch_size: [[4], [4, 8]]}}}\n"
        "profiles: {p: {tune: {objective: latency}}}\n"
    )
    assert not [error for error in VALIDATOR.iter_errors(spec) if "propertyNames" not in error.schema_path]


def test_an_engine_is_a_folder_or_a_mapping() -> None:
    spec = yaml.safe_load(
        "pipelines:\n"
        "  a: {use: text_generation, engine: demo, replicas: 2, nodes: 2}\n"
        "  b: {use: text_generation, engine: {from: demo, place: mounted, at: /x}}\n"
        "  c: {use: text_generation, with: {parameters: {enable_kv_cache_reuse: true, max_beam_width: 1, x: null}}}\n"
    )
    assert not list(VALIDATOR.iter_errors(spec))


def test_null_is_valid_wherever_it_deletes() -> None:
    spec = yaml.safe_load(
        "hardware: null\nserver: null\npipelines: {p: null}\nmodels:\n  a: {file: null, files: null, python: null, "
        "ensemble: null, calls: null, expose: null, input: null, parameters: {a: null}, max_batch_size: null}\n"
    )
    assert not list(VALIDATOR.iter_errors(spec))


def test_the_readers_example_is_valid() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(example)))
