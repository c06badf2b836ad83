"""What fits is what is known to fit, and every byte is told with its arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.perf.plan.public_models import Known, facts, model_named
from tritonsmith.generator.catalog.gpus import GPUS, gpu_named
from tritonsmith.perf.plan.core import Serving, Spread, total
from tritonsmith.perf.plan.memory.replica import kv_bytes_per_token, memory, quantisations_that_fit
from tritonsmith.perf.plan.memory.weights import weight_bytes

H100, H200 = GPUS["H100-SXM-80GB"], GPUS["H200-SXM-141GB"]
GIB = 2.0**30


def serving(tensor: int = 1, pipeline: int = 1, expert: int = 1, data: int = 1) -> Serving:
    return Serving(Spread(tensor, pipeline, expert, data), "bf16", "bf16")


@pytest.mark.parametrize("known", facts("fits"), ids=str)
def test_what_is_known_to_fit_fits(known: Known) -> None:
    gpu, tokens = gpu_named(known.fact["gpu"]), known.fact.get("tokens")
    found = memory(known.model, known.serving, gpu, tokens_per_sequence=tokens)
    assert found.fits
    assert found.kv_tokens.value >= (tokens or 1)


@pytest.mark.parametrize("known", facts("does_not_fit"), ids=str)
def test_what_is_known_not_to_fit_does_not(known: Known) -> None:
    assert not memory(known.model, known.serving, gpu_named(known.fact["gpu"])).fits


@pytest.mark.parametrize("known", facts("kv"), ids=str)
def test_the_cache_of_a_token_is_the_published_one(known: Known) -> None:
    way = replace(serving(known.fact.get("tensor", 1)), cache_type=known.fact["cache"])
    assert kv_bytes_per_token(known.model, way) == pytest.approx(known.fact["bytes"], rel=0.05)


@pytest.mark.parametrize("known", facts("weights"), ids=str)
def test_weights_take_what_is_published(known: Known) -> None:
    found = weight_bytes(known.model, known.fact["weights"]).value / GIB
    assert found == pytest.approx(known.fact["gib"], rel=0.05)


@pytest.mark.parametrize("known", facts("taken"), ids=str)
def test_all_but_the_cache_is_near_what_servers_say_is_taken(known: Known) -> None:
    """Nothing in perf/plan/memory was set with these in view; the driver's part is not in what CUDA counts."""
    parts = memory(known.model, known.serving, gpu_named(known.fact["gpu"])).parts
    found = total([part for part in parts if part.name != "the driver"], "taken").value
    assert found / GIB == pytest.approx(known.fact["gib"], rel=0.07)


def test_parts_and_what_is_left_are_the_whole_gpu() -> None:
    found = memory(model_named("llama-3.1-70b"), serving(2), H100)
    assert sum(part.bytes.value for part in found.parts) + found.free_bytes.value == H100.memory_bytes
    assert all(part.arithmetic and part.bytes.source for part in found.parts)
    assert found.free_bytes.low < found.free_bytes.value < found.free_bytes.high


def test_tensor_parallelism_splits_heads_of_the_cache_down_to_one() -> None:
    model = model_named("llama-3.1-70b")  # 8 heads of keys and values
    sizes = [kv_bytes_per_token(model, serving(tensor)) for tensor in (1, 2, 8, 16)]
    assert sizes == [327680, 163840, 40960, 40960]


def test_heads_that_are_copied_weigh_more() -> None:
    model = model_named("llama-3.1-70b")
    layers = {tensor: memory(model, serving(tensor), H200).parts[0].bytes.value for tensor in (8, 16)}
    assert layers[16] > layers[8] / 2


def test_latents_are_copied_by_tensor_parallelism_and_kept_apart_by_data_parallelism() -> None:
    model = model_named("deepseek-v3")
    fp8 = replace(serving(8, expert=8), weight_type="fp8")
    together = memory(model, fp8, H200)
    apart = memory(model, replace(fp8, spread=Spread(1, 1, 8, 8)), H200)
    assert together.kv_bytes_per_token == apart.kv_bytes_per_token == 70272
    assert apart.kv_tokens.value > 5 * together.kv_tokens.value


def test_experts_are_spread_and_the_rest_copied_by_data_parallelism() -> None:
    model = model_named("deepseek-v3")
    parts = {
        spread: {part.name: part.bytes.value for part in memory(model, replace(serving(), spread=spread), H200).parts}
        for spread in (Spread(8, 1, 8), Spread(1, 1, 8, 8))
    }
    split, copied = parts[Spread(8, 1, 8)], parts[Spread(1, 1, 8, 8)]
    assert split["weights of the experts"] == copied["weights of the experts"]
    assert copied["weights of the layers"] > 6 * split["weights of the layers"]


def test_pipeline_stages_share_the_layers_and_their_cache() -> None:
    model = model_named("llama-3.1-405b")
    whole, halves = serving(8), serving(8, pipeline=2)
    assert kv_bytes_per_token(model, halves) == kv_bytes_per_token(model, whole) / 2
    layers = [memory(model, way, H200).parts[0].bytes.value for way in (whole, halves)]
    assert layers[1] == pytest.approx(layers[0] / 2)


def test_a_window_keeps_no_more_than_itself() -> None:
    model = model_named("gemma-3-27b")
    full = kv_bytes_per_token(model, serving())
    assert kv_bytes_per_token(model, serving(), 1024) == full
    assert kv_bytes_per_token(model, serving(), 10240) == pytest.approx(full * (10 + 52 / 10) / 62)


def test_states_are_kept_for_every_sequence_that_may_be_in_flight() -> None:
    model = model_named("nemotron-3-nano-30b")
    few = memory(model, replace(serving(), max_batch_size=64), H100)
    many = memory(model, replace(serving(), max_batch_size=128), H100)
    assert few.state_bytes_per_sequence == 23 * (64 * 64 * 128 * 4 + 3 * 6144 * 2)
    names = [{part.name: part.bytes.value for part in found.parts} for found in (few, many)]
    states = "states of layers without a KV cache"
    assert names[1][states] == 2 * names[0][states]


def test_a_batch_is_shared_by_the_ranks_of_attentions_data_parallelism() -> None:
    model = model_named("deepseek-v3")
    way = replace(serving(1, 1, 8, 8), weight_type="fp8", max_batch_size=250)
    logits = next(part for part in memory(model, way, H200).parts if part.name == "logits")
    assert logits.bytes.value == 3 * 32 * model.vocab_size * 4  # 8 ranks of 32: 250 in flight at most


def test_quantisations_that_fit_are_those_a_gpu_calculates_with() -> None:
    model = model_named("llama-3.1-70b")
    found = {
        name: [way.weight_type for way in quantisations_that_fit(model, serving(), GPUS[name], tokens=4096)]
        for name in ("A100-SXM-80GB", "H100-SXM-80GB", "B200-SXM-180GB", "T4")
    }
    assert found["T4"] == []
    assert set(found["A100-SXM-80GB"]) == {"int8", "int4"}
    assert found["H100-SXM-80GB"][0] == "fp8"
    assert found["B200-SXM-180GB"][0] == "bf16"
    assert "nvfp4" in found["B200-SXM-180GB"]


def test_nothing_is_widened_to_make_it_fit() -> None:
    ways = quantisations_that_fit(model_named("gpt-oss-120b"), serving(), GPUS["B300-SXM-269GB"])
    assert {way.weight_type for way in ways} == {"mxfp4", "int4"}


def test_what_is_measured_beside_weights_and_cache_lies_in_the_interval_four_times_in_five() -> None:
    """Those of perf/plan/memory/overheads.py were set with these in view; other servers take what theirs take."""
    inside = [lies_between(known) for known in facts("beside")]
    assert len(inside) >= 5
    assert sum(inside) >= 0.8 * len(inside)


def lies_between(known: Known) -> bool:
    """Whether measured bytes lie in the interval of all parts that are no weights, tables or the driver's."""
    names = ("weights", "tables", "the driver")
    parts = memory(known.model, known.serving, H100).parts
    found = total([part for part in parts if not part.name.startswith(names)], "measured")
    return found.low <= float(known.fact["gib"]) * GIB <= found.high
