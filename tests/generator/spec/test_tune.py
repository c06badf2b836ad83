from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WriteOnnx
from tritonsmith.generator.spec.document import Spec
from tritonsmith.generator.spec.read import read_spec

WriteSpec = Callable[[str], Path]
MODELS = "models: {m: {file: model.onnx, variants: {fp32: model.onnx, int8: model.onnx}}}\n"
FULL = (
    MODELS
    + """\
tune:
  objective: cost
  limits: {p99_ms: 50, memory_mib: 4000}
  loads: {concurrency: [1, 2, 8]}
  price_per_hour: 1.5
  vary:
    m:
      instance_group.count: [1, 2]
      dynamic_batching: [null, {}]
      dynamic_batching.preferred_batch_size: [[4], [4, 8], []]
      parameters.intra_op_thread_count: [1, 2]
      variants: [fp32, int8]
profiles:
  big: {tune: {objective: latency, vary: {m: {variants: null, instance_group.count: [4]}}}}
"""
)


def messages(spec: Spec) -> list[str]:
    return [f"{finding.place.line}: {finding.key}: {finding.message}" for finding in spec.findings]


def test_a_tuning_is_read_whole(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    spec = read_spec(write_spec(FULL))
    assert not spec.findings
    assert spec.tune is not None and spec.tune.loads is not None
    assert (spec.tune.objective, spec.tune.price_per_hour) == ("cost", 1.5)
    assert spec.tune.limits.given == {"p99_ms": 50, "memory_mib": 4000}
    assert spec.tune.loads.concurrency == (1, 2, 8)
    assert spec.tune.vary["m"]["dynamic_batching"] == (None, {})
    assert spec.tune.vary["m"]["dynamic_batching.preferred_batch_size"] == (("4",), ("4", "8"), ())


def test_a_profile_is_laid_over_the_tuning_field_by_field(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    spec = read_spec(write_spec(FULL), profile="big")
    assert spec.tune is not None and not spec.findings
    assert spec.tune.objective == "latency"
    assert spec.tune.vary["m"]["instance_group.count"] == ("4",)
    assert "variants" not in spec.tune.vary["m"] and "dynamic_batching" in spec.tune.vary["m"]


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ("{objectiv: cost}", "2: tune.objectiv: unknown key 'objectiv'. Did you mean 'objective'?"),
        ("{objective: fast}", "2: tune.objective: input should be 'throughput', 'latency', 'goodput' or 'cost'"),
        ("{objective: cost}", "2: tune: objective: cost needs price_per_hour"),
        ("{objective: goodput, limits: {memory_mib: 1}}", "2: tune: objective: goodput needs a limit on time"),
        ("{limits: {p98_ms: 5}}", "2: tune.limits.p98_ms: unknown key 'p98_ms'. Did you mean 'p9"),
        ("{limits: {p99_ms: 0}}", "2: tune.limits.p99_ms: input should be greater than 0"),
        ("{loads: {concurrency: [1], request_rate: [5]}}", "2: tune.loads: give one of concurrency and request_rate"),
        ("{loads: {concurrency: [0]}}", "2: tune.loads.concurrency.0: input should be greater than or equal to 1"),
        ("\n  vary:\n    n: {max_batch_size: [1]}", "4: tune.vary.n: there is no model 'n' to vary."),
        (
            "{vary: {m: {instance_grup.count: [1]}}}",
            "2: tune.vary.m.instance_grup.count: unknown field 'instance_grup' of ModelConfig. Did you mean",
        ),
        ("{vary: {m: {max_batch_size: 4}}}", "2: tune.vary.m.max_batch_size: expected a list of values, got '4'"),
        ("{vary: {m: {max_batch_size: [4, 4]}}}", "2: tune.vary.m.max_batch_size: '4' is given twice"),
        ("{vary: {m: {max_batch_size: [4, x]}}}", "2: tune.vary.m.max_batch_size: expected a whole number, got 'x'"),
        ("{vary: {m: {instance_group: [4]}}}", "2: tune.vary.m.instance_group: 'instance_group' has fields of its own"),
        ("{vary: {m: {variants: [in8]}}}", "2: tune.vary.m.variants: 'm' has no variant 'in8'. Did you mean 'int8'?"),
        ("5", "2: tune: expected a mapping, got '5'"),
    ],
)
def test_what_is_wrong_with_a_tuning_is_told_where_it_stands(
    write_onnx: WriteOnnx, write_spec: WriteSpec, tune: str, message: str
) -> None:
    write_onnx()
    found = messages(read_spec(write_spec(f"{MODELS}tune: {tune}\n")))
    assert any(line.startswith(message) for line in found), found
    assert len(found) == 1


def test_null_leaves_a_key_out(write_onnx: WriteOnnx, write_spec: WriteSpec) -> None:
    write_onnx()
    spec = read_spec(write_spec(f"{MODELS}tune: {{objective: latency, vary: null, limits: null}}\n"))
    assert not spec.findings and spec.tune is not None and not spec.tune.vary


def test_a_model_that_cannot_be_read_is_not_told_as_missing(write_spec: WriteSpec) -> None:
    found = messages(read_spec(write_spec("models: {m: 5}\ntune: {vary: {m: {max_batch_size: [1]}}}\n")))
    assert found == ["1: models.m: expected a mapping, got '5'"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{file: model.onnx, variants: {int8: nodel.onnx}}", "models.m.variants.int8: there is no file 'nodel.onnx'."),
        ("{file: model.onnx, variants: {a b: model.onnx}}", "models.m.variants.a b: 'a b' cannot name a variant"),
        ("{backend: x, variants: {a: model.onnx}}", "models.m.variants: variants stand in for a file, and none is"),
        (
            "{file: {1: model.onnx, 2: model.onnx}, variants: {a: model.onnx}}",
            "models.m.variants: variants stand in for one file, and there are 2 versions",
        ),
    ],
)
def test_what_is_wrong_with_variants_is_told(
    write_onnx: WriteOnnx, write_spec: WriteSpec, model: str, message: str
) -> None:
    write_onnx()
    found = messages(read_spec(write_spec(f"models: {{m: {model}}}\n")))
    assert any(line.startswith(f"1: {message}") for line in found), found
