"""Which ways of serving there are, and why others are none."""

from pathlib import Path

import pytest

from tests.perf.plan.small_models import DENSE, EXPERTS, write_config
from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.perf.plan.candidates import bar_of_spread, bar_of_types, spreads, ways
from tritonsmith.perf.plan.core import LanguageModel, Spread
from tritonsmith.perf.plan.models.built import Built
from tritonsmith.perf.plan.models.read import read_model

H100, L4, A100, T4 = GPUS["H100-SXM-80GB"], GPUS["L4"], GPUS["A100-SXM-80GB"], GPUS["T4"]


@pytest.fixture
def dense(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, DENSE))


@pytest.fixture
def experts(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, EXPERTS))


def test_no_spread_has_more_gpus_than_asked_for(experts: LanguageModel) -> None:
    found = list(spreads(experts, 8))
    assert max(spread.gpus for spread in found) == 8
    assert len(set(found)) == len(found)


def test_experts_are_spread_only_where_there_are_some(dense: LanguageModel, experts: LanguageModel) -> None:
    assert all(spread.expert == spread.data == 1 for spread in spreads(dense, 8))
    assert {Spread(4, 1, expert=4), Spread(1, 1, expert=4, data=4)} <= set(spreads(experts, 4))


def test_weights_and_cache_stay_as_the_files_have_them_unless_asked_for(dense: LanguageModel) -> None:
    assert {(way.serving.weight_type, way.serving.cache_type) for way in ways(dense, [H100])} == {("bf16", "bf16")}
    asked = {(w.serving.weight_type, w.serving.cache_type) for w in ways(dense, [H100], ("fp8", "int4"), ("fp8",))}
    assert asked == {("fp8", "fp8"), ("int4", "fp8")}


def test_each_batch_makes_a_way_of_its_own(dense: LanguageModel) -> None:
    found = [way for way in ways(dense, [H100], max_gpus=2, batches=(256, 1024)) if not way.problem]
    assert [(str(way.serving.spread), way.serving.max_batch_size) for way in found] == [
        ("TP1", 256),
        ("TP1", 1024),
        ("TP2", 256),
        ("TP2", 1024),
    ]


@pytest.mark.parametrize(
    ("gpu", "weight", "cache", "reason"),
    [
        (H100, "fp8", "fp8", ""),
        (H100, "nvfp4", "fp8", "no kernels for nvfp4 weights on H100-SXM-80GB, compute capability 9.0"),
        (A100, "fp8", "bf16", "no kernels for fp8 weights"),
        (A100, "mxfp4", "bf16", "no kernels for mxfp4 weights"),
        (A100, "int4", "fp8", "no kernels for an fp8 KV cache on A100-SXM-80GB, compute capability 8.0"),
        (T4, "fp16", "fp16", "TensorRT-LLM needs compute capability 8.0, T4 has 7.5"),
    ],
)
def test_types_that_a_gpu_does_not_serve_are_refused_with_the_reason(gpu, weight, cache, reason) -> None:  # type: ignore[no-untyped-def]
    problem = bar_of_types(gpu, weight, cache)
    assert reason in problem
    assert bool(reason) == bool(problem)


def test_an_int8_cache_is_of_engines_alone(dense: LanguageModel) -> None:
    (asked,) = ways(dense, [H100], caches=("int8",))
    assert asked.problem == "an int8 KV cache is of engines that were built with one alone"
    built = Built(Spread(), "int8", 8, 1024)
    (found,) = ways(dense, [H100], built=built)
    assert (found.serving.cache_type, found.problem) == ("int8", "")


def test_tensor_parallelism_stays_in_the_nvlink_domain(dense: LanguageModel) -> None:
    assert "exceed the NVLink domain of 8" in bar_of_spread(dense, H100, Spread(16), 16)
    assert not bar_of_spread(dense, H100, Spread(8, 2), 16)
    assert not bar_of_spread(dense, GPUS["GB200-186GB"], Spread(16), 16)


def test_stages_are_for_gpus_that_no_link_joins(dense: LanguageModel) -> None:
    assert "tensor parallelism answers sooner" in bar_of_spread(dense, H100, Spread(2, 2), 8)
    assert not bar_of_spread(dense, L4, Spread(2, 2), 8)


def test_a_size_that_does_not_divide_the_heads_or_experts_is_named(experts: LanguageModel) -> None:
    assert bar_of_spread(experts, GPUS["GB200-186GB"], Spread(64), 64) == "TP64 does not divide 32 heads"
    sixteen = Spread(1, 1, expert=16, data=16)
    assert bar_of_spread(experts, GPUS["GB200-186GB"], sixteen, 64) == "EP16 does not divide 8 experts"
