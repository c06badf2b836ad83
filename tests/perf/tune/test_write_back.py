"""What is written into a spec: the pick, and nothing else."""

from __future__ import annotations

import difflib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WriteOnnx
from tritonsmith.ensembles.adopt import write_spec_of
from tritonsmith.ensembles.blueprint import FOLDER, blueprint_names, find_blueprint
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.starter import write_starter
from tritonsmith.generator.lower import lower
from tritonsmith.perf.document import Scalar
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.tune.space.candidates import configs_of
from tritonsmith.perf.tune.space.legal import Judge
from tritonsmith.perf.tune.space.variant_files import FILENAME
from tritonsmith.perf.tune.write_back import patch_of, write_pick
from tritonsmith.perf.variants import changed_configs

COMMENTED = """\
# A spec as people write them.
repository: "oracle"            # quoted
triton: '24.10'

models:
  first: &base                  # an anchor that the second merges
    file:   model.onnx          # odd   spaces
    max_batch_size: 16
    dynamic_batching: &db
      # how long a request waits
      max_queue_delay_microseconds: 100   # microseconds

      preferred_batch_size:     # in a block
        - 4
        - 8                     # the last
    instance_group:
      - kind: KIND_CPU
        count: 1                # one
      - {kind: KIND_CPU, count: 2}

  second:
    <<: *base
    parameters: {"note": 'it''s: [fine]', mean: 0.50}
  third: {file: model.onnx, max_batch_size: 16, dynamic_batching: *db, }   # flow, with a comma
  fourth:
    file: model.onnx
    max_batch_size: 16
    parameters:
      text: |
        many
        lines
    # the end of the fourth

  both:
    ensemble: [{model_name: first, output_map: {y: z}}, {model_name: second, input_map: {x: z}}]
# the end of the models

profiles:
  big: {models: {first: {instance_group: [{count: 4}]}}}
  small:
    models:
      second: {max_batch_size: 16}
"""
INSIDE = {"how long a request waits", "microseconds", "in a block", "the last"}  # a dynamic batcher that may go whole
FIELDS: dict[str, tuple[Scalar, ...]] = {
    "instance_group.count": (1, 2, 3),
    "max_batch_size": (4, 8, 16),
    "dynamic_batching.max_queue_delay_microseconds": (0, 100, 500),
    "dynamic_batching.preferred_batch_size": ("[]", "[4]", "[2,4]", "[4,8]"),
    "dynamic_batching": ("null", "{}"),
    "parameters.intra_op_thread_count": (1, 2),
}


def picks_of(spec: Path, profile: str, count: int, seed: int) -> list[Candidate]:
    """Return random picks of fields of random models, no two of which contradict."""
    draw = random.Random(seed)
    repository = lower(load_spec(spec, profile))
    configs = configs_of(repository)
    models = [name for name, config in configs.items() if not config.ensemble_scheduling.step]
    picks = []
    for number in range(count):
        variant: dict[str, Scalar] = {}
        for model in draw.sample(models, min(len(models), 2)):
            fields = draw.sample(list(FIELDS), 3)
            for field in fields:
                is_below = field.startswith("dynamic_batching.") and "dynamic_batching" in fields
                is_stateful = configs[model].HasField("sequence_batching") or configs[model].backend == "tensorrtllm"
                is_batch = field == "max_batch_size" and configs[model].max_batch_size != 16
                if not is_below and not is_batch and not (is_stateful and "batch" in field):
                    variant[f"models.{model}.{field}"] = draw.choice(FIELDS[field])
        variant |= Judge(repository, configs).derived(variant)
        picks.append(Candidate(f"pick {number}", variant))
    return picks


def require_written(spec: Path, profile: str, pick: Candidate) -> None:
    """Write a pick and require that the spec then builds it, that comments are kept, and that it is written once."""
    before = spec.read_bytes()
    built = configs_of(lower(load_spec(spec, profile)))
    others = {name: configs_of(lower(load_spec(spec, name))) for name in ("",) if profile}
    wanted = {**built, **changed_configs(pick.variant, built)}
    is_changed = write_pick(spec, pick, profile=profile)
    after = spec.read_bytes()
    assert is_changed == (before != after) == (wanted != built)
    assert configs_of(lower(load_spec(spec, profile))) == wanted
    assert all(configs_of(lower(load_spec(spec, name))) == configs for name, configs in others.items())
    lost = {comment for comment in comments(before) if comment not in after.decode()}
    assert lost <= (INSIDE if "null" in pick.variant.values() else set())
    assert not write_pick(spec, pick, profile=profile) and spec.read_bytes() == after


def comments(data: bytes) -> list[str]:
    return [line.partition("#")[2].strip() for line in data.decode().splitlines() if "#" in line]


@pytest.fixture
def oracle(write_onnx: WriteOnnx, tmp_path: Path) -> Path:
    """Return a folder with a spec in every style, and its model."""
    write_onnx(shape=("N", 4), source="x", target="y")
    path = tmp_path / "tritonsmith.yaml"
    path.write_text(COMMENTED)
    return path


@pytest.mark.parametrize("profile", ["", "big", "small"])
def test_every_pick_is_built_by_a_spec_with_anchors_and_all_styles(oracle: Path, profile: str) -> None:
    for pick in picks_of(oracle, profile, 30, seed=len(profile)):
        oracle.write_text(COMMENTED)
        require_written(oracle, profile, pick)


def test_picks_after_one_another_are_built(oracle: Path) -> None:
    for seed in range(20):
        (pick,) = picks_of(oracle, "", 1, seed)
        require_written(oracle, "", pick)


@pytest.mark.parametrize("blueprint", blueprint_names())
def test_every_pick_is_built_by_the_blueprints_specs(blueprint: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / blueprint, tmp_path / "demo")
    spec = tmp_path / "demo" / "spec.yaml"
    text = spec.read_text()
    for pick in picks_of(spec, "", 6, seed=1):
        spec.write_text(text)
        require_written(spec, "", pick)
    for pick in picks_of(spec, "h100", 3, seed=2) if "h100:" in text else ():
        spec.write_text(text)
        require_written(spec, "h100", pick)


def test_every_pick_is_built_by_specs_that_init_made(tmp_path: Path) -> None:
    write_starter(find_blueprint("image_classification"), tmp_path / "tritonsmith.yaml")
    build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "models")
    write_spec_of(tmp_path / "models", tmp_path / "adopted.yaml")
    for spec in (tmp_path / "tritonsmith.yaml", tmp_path / "adopted.yaml"):
        text = spec.read_text()
        for pick in picks_of(spec, "", 6, seed=3):
            spec.write_text(text)
            require_written(spec, "", pick)


def patch_lines(spec: Path, variant: dict[str, Scalar], profile: str = "") -> list[str]:
    patch = patch_of(spec, Candidate("pick", variant), profile=profile).splitlines()
    return [line for line in patch[2:] if line[0] in "+-"]


def test_an_ensemble_that_says_its_own_limit_follows_its_step(oracle: Path) -> None:
    oracle.write_text(COMMENTED.replace("  both:\n", "  both:\n    max_batch_size: 16   # as its steps\n"))
    lines = patch_lines(oracle, {"models.second.max_batch_size": 8, "models.both.max_batch_size": 8})
    assert "+    max_batch_size: 8   # as its steps" in lines


def test_only_the_value_in_its_line_changes(oracle: Path) -> None:
    assert patch_lines(oracle, {"models.first.dynamic_batching.max_queue_delay_microseconds": 500})[:2] == [
        "-      max_queue_delay_microseconds: 100   # microseconds",
        "+      max_queue_delay_microseconds: 500   # microseconds",
    ]
    assert patch_lines(oracle, {"models.third.max_batch_size": 8}) == [
        "-  third: {file: model.onnx, max_batch_size: 16, dynamic_batching: *db, }   # flow, with a comma",
        "+  third: {file: model.onnx, max_batch_size: 8, dynamic_batching: *db, }   # flow, with a comma",
    ]


def test_what_shares_an_anchor_keeps_its_value(oracle: Path) -> None:
    lines = patch_lines(oracle, {"models.third.dynamic_batching.max_queue_delay_microseconds": 7})
    shown = "dynamic_batching: {max_queue_delay_microseconds: 7, preferred_batch_size: [4, 8]}"
    assert [line for line in lines if line[0] == "+"] == [
        f"+  third: {{file: model.onnx, max_batch_size: 16, {shown}, }}   # flow, with a comma"
    ]


def test_what_a_blueprint_makes_is_overridden_under_models(tmp_path: Path) -> None:
    write_starter(find_blueprint("image_classification"), tmp_path / "tritonsmith.yaml")
    lines = patch_lines(tmp_path / "tritonsmith.yaml", {"models.classifier.instance_group.count": 2})
    assert lines == ["+models:", "+  classifier:", "+    instance_group: [{count: 2}]", "+"]


def test_with_a_profile_the_pick_goes_into_the_profile(oracle: Path) -> None:
    lines = patch_lines(oracle, {"models.second.max_batch_size": 8, "models.both.max_batch_size": 8}, "small")
    assert lines == ["-      second: {max_batch_size: 16}", "+      second: {max_batch_size: 8}"]


def test_a_pick_that_equals_the_spec_leaves_the_file_alone(oracle: Path) -> None:
    before = oracle.stat()
    assert not write_pick(oracle, Candidate("as it is", {}))
    assert not write_pick(oracle, Candidate("the same", {"models.first.max_batch_size": 16}))
    assert oracle.stat() == before


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_a_byte_order_mark_links_and_rights_stay(oracle: Path, mark: bytes) -> None:
    oracle.write_bytes(mark + COMMENTED.replace("\n", "\r\n").encode())
    oracle.chmod(0o600)
    link = oracle.with_name("link.yaml")
    link.symlink_to(oracle.name)
    assert write_pick(link, Candidate("pick", {"models.fourth.instance_group.count": 2}))
    data = oracle.read_bytes()
    assert link.is_symlink() and data.startswith(mark) and oracle.stat().st_mode & 0o777 == 0o600
    assert data.count(b"\n") == data.count(b"\r\n")
    assert b"    instance_group: [{count: 2}]\r\n" in data


def test_a_file_without_a_last_line_end_is_written(write_onnx: WriteOnnx, write_spec: Callable[[str], Path]) -> None:
    write_onnx()
    spec = write_spec("models: {m: {file: model.onnx}}")
    assert write_pick(spec, Candidate("pick", {"models.m.instance_group.count": 2}))
    assert spec.read_text() == "models: {m: {file: model.onnx, instance_group: [{count: 2}]}}"


def test_a_picked_variant_becomes_the_file(write_onnx: WriteOnnx, write_spec: Callable[[str], Path]) -> None:
    write_onnx()
    write_onnx("model.int8.onnx")
    spec = write_spec("""\
models:
  m:
    file: {2: "model.onnx"}   # what is served
    variants: {fp32: model.onnx, int8: 'model.int8.onnx'}
""")
    before = spec.read_text()
    assert write_pick(spec, Candidate("pick", {f"models.m.{FILENAME}": "variant-int8.onnx"}))
    changed = [line for line in difflib.ndiff(before.splitlines(), spec.read_text().splitlines()) if line[0] == "+"]
    assert changed == ["+     file: {2: model.int8.onnx}   # what is served"]
    assert load_spec(spec).models["m"].file[2].name == "model.int8.onnx"
