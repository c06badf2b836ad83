"""Specs with something wrong in them: each is built, or refused with an error of ours; nothing else ever happens."""

import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.ensembles.blueprint import blueprint_names, find_blueprint
from tritonsmith.ensembles.build import plan_build
from tritonsmith.generator.errors import TritonsmithError

WriteOnnx = Callable[..., Path]

RICH = """
repository: rich
triton: "25.11"
hardware: {gpu: H100, count: 2}
server: {http_port: 0, response_cache: {size_bytes: 100}, rate_limit: {resources: {R: 2}}, metrics: {interval_ms: 5}}
models:
  graph:
    file: {1: a.onnx, 3: a.onnx}
    files: {labels.txt: labels.txt, warmup/x: row}
    max_batch_size: 8
    version_policy: {specific: {versions: [1, 3]}}
    output: [{name: y, label_filename: labels.txt}]
    dynamic_batching:
      preferred_batch_size: [4, 8]
      priority_levels: 2
      default_priority_level: 1
      default_queue_policy: {timeout_action: DELAY, default_timeout_microseconds: 5}
      priority_queue_policy: {2: {max_queue_size: 3}}
    instance_group: [{kind: KIND_GPU, gpus: [0, 1], rate_limiter: {resources: [{name: R, global: true, count: 2}]}}]
    optimization: {graph: {level: 1}, cuda: {graphs: true}}
    parameters: {a: 0.50, b: {string_value: x}}
    model_warmup: [{name: w, batch_size: 1, inputs: {x: {data_type: TYPE_FP32, dims: [4], input_data_file: x}}}]
    response_cache: {enable: true}
  second: {file: b.onnx, max_batch_size: 4}
  sequence:
    backend: identity
    input: [{name: x, data_type: TYPE_FP32, dims: [4], reshape: {shape: [2, 2]}}]
    output: [{name: y, data_type: TYPE_FP32, dims: [4]}]
    sequence_batching:
      oldest: {max_candidate_sequences: 4}
      control_input: [{name: START, control: [{kind: CONTROL_SEQUENCE_START, fp32_false_true: [0, 1]}]}]
      state:
        - input_name: s
          output_name: t
          data_type: TYPE_FP32
          dims: [1]
          initial_state: [{name: z, data_type: TYPE_FP32, dims: [1], zero_data: true}]
    model_transaction_policy: {decoupled: false}
    calls: [second]
  script: {python: script, input: [{name: z, data_type: TYPE_FP32, dims: [4]}], max_batch_size: 4}
  inner: {ensemble: [graph, {model_name: second, input_map: {y: y}, output_map: {z: z}}], expose: [y]}
  outer: {ensemble: [{model_name: inner, model_version: -1, output_map: {z: end}}]}
profiles:
  p: {repository: other, hardware: none, models: {graph: {instance_group: null}, outer: null}}
"""
ODD_KEYS = ["", "x", "name", "model_name", "<<", "null", "1", "é", "a" * 300, "..", "ensemble", "input", "\0"]
ODD_VALUES: list[Any] = [
    *[
        None,
        "",
        0,
        -1,
        1e9,
        2**70,
        True,
        "null",
        "~",
        "é",
        "../x",
        ".",
        "\0",
        "a" * 300,
        "9" * 5000,
        "--5",
        "1e999",
        "nan",
    ],
    *[[], {}, [None], [[]], {"a": None}, {"": {}}, [{"name": "x"}], {"name": ["x"]}, ["graph", "graph"], "labels.txt"],
]


def holders(node: Any) -> list[Any]:
    """Return every mapping and list in some data."""
    if not isinstance(node, (dict, list)):
        return []
    children = node.values() if isinstance(node, dict) else node
    return [node, *(holder for child in children for holder in holders(child))]


def mutate(data: Any, dice: random.Random) -> None:
    """Change one thing: delete it, give it an odd value or key, put another part of the data there."""
    everything = holders(data)
    holder = dice.choice([holder for holder in everything if holder] or [data])
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if not keys:
        return
    key = dice.choice(keys)
    kind = dice.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[dice.choice(ODD_KEYS)] = holder.pop(key)
    elif kind == 2:
        holder[key] = yaml.safe_load(yaml.safe_dump(dice.choice(everything)))
    elif kind == 3 and isinstance(holder[key], str):
        holder[key] += dice.choice([*string.printable, "é"])
    else:
        holder[key] = dice.choice(ODD_VALUES)


@pytest.fixture
def specs(write_onnx: WriteOnnx, tmp_path: Path) -> dict[str, Any]:
    write_onnx("a.onnx")
    write_onnx("b.onnx", source="y", target="z")
    (tmp_path / "labels.txt").write_text("é\n")
    (tmp_path / "row").write_bytes(bytes(4 * 4))
    (tmp_path / "script").mkdir()
    script = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
    (tmp_path / "script" / "model.py").write_text(script)
    (tmp_path / "demo").symlink_to(find_blueprint("image_classification").folder / "demo")
    (tmp_path / "readings").symlink_to(find_blueprint("streaming_sequence").folder / "demo")
    (tmp_path / "model").symlink_to(find_blueprint("text_generation").folder / "demo")
    texts = {name: (find_blueprint(name).folder / "spec.yaml").read_text() for name in blueprint_names()}
    texts["streaming_sequence"] = texts["streaming_sequence"].replace("demo/", "readings/")
    texts["text_generation"] = texts["text_generation"].replace("from: demo", "from: model")
    return {name: yaml.safe_load(text) for name, text in {**texts, "rich": RICH}.items()}


def test_the_specs_are_right_before_they_are_changed(specs: dict[str, Any], tmp_path: Path) -> None:
    for name, data in specs.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data))
        assert plan_build(path, tmp_path / "repository").repository.models


def test_a_mutated_spec_is_built_or_refused(specs: dict[str, Any], tmp_path: Path) -> None:
    refused = 0
    for seed in range(400):
        dice = random.Random(seed)
        data = yaml.safe_load(yaml.safe_dump(specs[dice.choice(sorted(specs))]))
        for _ in range(dice.choice([1, 1, 2, 5])):
            mutate(data, dice)
        path = tmp_path / "tritonsmith.yaml"
        path.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")
        try:
            assert plan_build(path, tmp_path / "repository", profile=dice.choice(["", "p"])).findings is not None
        except TritonsmithError as problem:
            assert problem.exit_code in (2, 3, 4), f"seed {seed}"
            refused += 1
        except Exception as problem:
            raise AssertionError(f"seed {seed}:\n{path.read_text(encoding='utf-8')}") from problem
    assert refused > 100


def test_a_text_with_bytes_changed_is_built_or_refused(specs: dict[str, Any], tmp_path: Path) -> None:
    for seed in range(200):
        dice = random.Random(seed)
        text = bytearray(RICH.encode())
        for _ in range(dice.choice([1, 3])):
            at = dice.randrange(len(text))
            text[at : at + dice.randrange(3)] = dice.choice(
                [b"\t", b"*a", b"&a ", b"[", b"}", b": ", b"\xff", b"\r", b"-", b"!!x "]
            )
        (tmp_path / "tritonsmith.yaml").write_bytes(text)
        try:
            plan_build(tmp_path / "tritonsmith.yaml", tmp_path / "repository")
        except TritonsmithError as problem:
            assert problem.exit_code in (3, 4), f"seed {seed}"
