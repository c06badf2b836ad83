"""Which candidates there are, and why others are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WriteOnnx
from tritonsmith.ensembles.blueprint import FOLDER
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.read import read_spec
from tritonsmith.perf.document import Variation
from tritonsmith.perf.served import computing
from tritonsmith.perf.tune.options import limits_of, loads_of, variations_of
from tritonsmith.perf.tune.space.candidates import OWN, Space, candidates_of, configs_of
from tritonsmith.perf.tune.space.variant_files import variant_files, with_variants
from tritonsmith.perf.variants import changed_configs, parse_variation

WriteSpec = Callable[[str], Path]


@pytest.fixture(scope="module")
def digits() -> Repository:
    """Return the repository of the image classification demo: three steps and their ensemble."""
    return lower(load_spec(FOLDER / "image_classification" / "spec.yaml"))


def space(repository: Repository, *vary: str, model: str = "digits", cores: int = 2, most: int = 400) -> Space:
    return candidates_of(repository, model, [parse_variation(text) for text in vary], cores=cores, most=most)


def names(found: Space) -> list[str]:
    return [candidate.name for candidate in found.candidates]


def test_the_configuration_as_it_is_comes_first_and_once(digits: Repository) -> None:
    found = space(digits, "models.classifier.instance_group.count=1,2")
    assert names(found) == [OWN, "classifier.instance_group.count=2"]
    assert found.candidates[0].variant == {}


def test_it_is_there_even_where_the_values_leave_it_out(digits: Repository) -> None:
    assert names(space(digits, "models.classifier.instance_group.count=2"))[0] == OWN


def test_steps_of_a_pipeline_are_combined(digits: Repository) -> None:
    found = space(
        digits, "models.classifier.instance_group.count=1,2", "models.postprocessing.instance_group.count=1,2"
    )
    assert len(found.candidates) == 4 and not found.dropped


def test_an_ensemble_follows_its_steps(digits: Repository) -> None:
    found = space(digits, "models.classifier.max_batch_size=64,8")
    assert found.candidates[1].variant == {"models.classifier.max_batch_size": 8, "models.digits.max_batch_size": 8}


@pytest.mark.parametrize(
    ("vary", "reason"),
    [
        (
            ("models.classifier.max_batch_size=8", "models.classifier.dynamic_batching.preferred_batch_size=[16]"),
            "classifier: preferred batch size 16 is above max_batch_size (8)",
        ),
        (
            ("models.classifier.max_batch_size=0",),
            "classifier: with or without max_batch_size its tensors have other shapes",
        ),
        (
            (
                "models.classifier.max_batch_size=1",
                "models.classifier.dynamic_batching.max_queue_delay_microseconds=900",
            ),
            "classifier: a batch of one is full at once, so a longer delay does nothing",
        ),
        (("models.classifier.sequence_batching={}",), "classifier: its requests belong to sequences, or not; another "),
    ],
)
def test_what_is_no_configuration_is_dropped_with_its_reason(
    digits: Repository, vary: tuple[str, ...], reason: str
) -> None:
    found = space(digits, *vary)
    assert names(found) == [OWN]
    assert [why.startswith(reason) for why in found.dropped] == [True] and list(found.dropped.values()) == [1]


def test_without_a_dynamic_batcher_there_is_no_delay(digits: Repository) -> None:
    found = space(
        digits,
        "models.classifier.dynamic_batching=null,{}",
        "models.classifier.dynamic_batching.max_queue_delay_microseconds=100,500",
    )
    assert names(found) == [
        OWN,
        "classifier.dynamic_batching=null",
        "classifier.dynamic_batching.max_queue_delay_microseconds=500",
    ]


def test_a_batch_above_what_the_file_allows_is_dropped(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx(shape=(4, 4))
    repository = lower(read_spec(write_spec("models: {m: {file: model.onnx}}")))
    found = space(repository, "models.m.max_batch_size=4", model="m")
    assert names(found) == [OWN] and len(found.dropped) == 1


def test_defaults_vary_what_pays_and_stay_few(digits: Repository) -> None:
    found = space(digits, most=100)
    assert 10 < len(found.candidates) <= 100 + 1
    fields = {field for candidate in found.candidates for field in candidate.variant}
    assert {
        f"models.{name}.instance_group.count" for name in ("preprocessing", "classifier", "postprocessing")
    } < fields
    assert "models.postprocessing.dynamic_batching.preferred_batch_size: left as it is" in found.notes
    assert not any("preferred" in field for field in fields)


def test_defaults_of_one_model_vary_everything(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    text = "models: {m: {file: model.onnx, max_batch_size: 8, dynamic_batching: {max_queue_delay_microseconds: 300}}}"
    found = space(lower(read_spec(write_spec(text))), model="m", cores=2)
    fields = {field.removeprefix("models.m.") for candidate in found.candidates for field in candidate.variant}
    assert fields == {
        "instance_group.count",
        "max_batch_size",
        "dynamic_batching.max_queue_delay_microseconds",
        "dynamic_batching.preferred_batch_size",
        "parameters.intra_op_thread_count",
    }
    assert not found.notes


def test_candidates_are_all_different_configurations(digits: Repository) -> None:
    found = space(digits)
    configs = {name: model.config for name, model in digits.models.items() if model.config is not None}
    seen = [
        b"".join(
            config.SerializeToString(deterministic=True)
            for _, config in sorted((configs | changed_configs(candidate.variant, configs)).items())
        )
        for candidate in found.candidates
    ]
    assert len(set(seen)) == len(seen) == len(set(names(found)))


def test_a_model_of_sequences_keeps_its_batcher() -> None:
    repository = lower(load_spec(FOLDER / "streaming_sequence" / "spec.yaml"))
    found = space(repository, model="readings")
    fields = {field for candidate in found.candidates for field in candidate.variant}
    assert fields == {"models.readings.instance_group.count", "models.readings.parameters.intra_op_thread_count"}


def test_models_that_are_called_compute_too(write_onnx: WriteOnnx, write_spec: WriteSpec, tmp_path: Path) -> None:
    write_onnx()
    (tmp_path / "bls").mkdir()
    (tmp_path / "bls" / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    tensors = (
        "input: [{name: x, data_type: TYPE_FP32, dims: [4]}], output: [{name: y, data_type: TYPE_FP32, dims: [4]}]"
    )
    text = (
        f"models: {{m: {{file: model.onnx}}, other: {{file: model.onnx}}, b: {{python: bls, calls: [m], {tensors}}}}}"
    )
    built = lower(read_spec(write_spec(text)))
    assert computing("b", configs_of(built), built.settings["calls"]) == ("b", "m")


def test_the_cheaper_is_told_by_its_thrift(digits: Repository) -> None:
    found = space(
        digits,
        "models.classifier.instance_group.count=1,2",
        "models.classifier.dynamic_batching.max_queue_delay_microseconds=0,100",
    )
    ordered = sorted(found.candidates, key=lambda candidate: candidate.thrift)
    assert [candidate.name for candidate in ordered][:2] == [
        "classifier.dynamic_batching.max_queue_delay_microseconds=0",
        OWN,
    ]


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("models.clasifier.max_batch_size=1", "no model 'clasifier' here. Did you mean 'classifier'?"),
        ("models.classifier.max_batch=1", "unknown field 'max_batch' of ModelConfig"),
        ("models.classifier.variants=int8", "'classifier' has no such variant"),
    ],
)
def test_what_cannot_be_varied_is_refused(digits: Repository, vary: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        space(digits, vary)


def test_far_too_many_combinations_are_refused(digits: Repository) -> None:
    counts = ",".join(map(str, range(1, 101)))
    with pytest.raises(UsageError, match="10,000 combinations are more than"):
        space(digits, f"models.classifier.instance_group.count={counts}", f"models.classifier.max_batch_size={counts}")


VARIANTS = """\
models:
  m:
    file: model.onnx
    max_batch_size: 8
    variants: {fp32: model.onnx, int8: other.onnx}
tune:
  limits: {memory_mib: 900, p99_ms: 5}
  loads: {concurrency: [8, 1, 8]}
  vary: {m: {variants: [fp32, int8], dynamic_batching.preferred_batch_size: [[4], [2, 4]]}}
"""


def test_variants_lie_beside_the_file_and_are_chosen_by_its_name(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    other = write_onnx("other.onnx")
    spec = read_spec(write_spec(VARIANTS))
    repository = with_variants(spec, lower(spec))
    assert sorted(repository.models["m"].files) == ["1/model.onnx", "1/variant-int8.onnx"]
    files = variant_files(spec)
    assert files == {"m": {"fp32": "", "int8": "variant-int8.onnx"}}
    given = [Variation("models.m.variants", ("fp32", "int8")), Variation("models.m.instance_group.count", (3,))]
    found = candidates_of(repository, "m", given[:1], cores=2, variants=files)
    assert [(candidate.name, candidate.variant) for candidate in found.candidates] == [
        (OWN, {}),
        ("m.variants=int8", {"models.m.default_model_filename": "variant-int8.onnx"}),
    ]
    assert other.exists() and not found.dropped
    names_of_both = names(candidates_of(repository, "m", given, cores=2, variants=files))
    assert names_of_both == [OWN, "m.instance_group.count=3", "m.variants=int8, m.instance_group.count=3"]


def test_what_a_spec_says_of_tuning_is_taken(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    write_onnx("other.onnx")
    tune = read_spec(write_spec(VARIANTS)).tune
    assert tune is not None
    assert variations_of(tune) == (
        Variation("models.m.variants", ("fp32", "int8")),
        Variation("models.m.dynamic_batching.preferred_batch_size", ("[4]", "[2,4]")),
    )
    assert [str(limit) for limit in limits_of(tune)] == ["p99 <= 5 ms", "memory <= 900 mib"]
    assert [load.value for load in loads_of(tune)] == [1, 8]
