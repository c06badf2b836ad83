"""A step takes what it reads, computes and sends; what spreads it over GPUs changes these as it should."""

from dataclasses import replace

import pytest

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.perf.bench.published_throughput import read_models
from tritonsmith.perf.plan.core import LanguageModel, LayerGroup, Serving, Spread
from tritonsmith.perf.plan.steps.roofline import FITTED, RooflineTimes, attention_flops, cache_bytes

MODELS = read_models()
H100, L40S = GPUS["H100-SXM-80GB"], GPUS["L40S"]
SERVING = Serving(Spread(), "fp8", "fp8")


def times(model: str, spread: Spread = SERVING.spread, **changes: str) -> RooflineTimes:
    return RooflineTimes(MODELS[model], replace(SERVING, spread=spread, **changes), H100)  # type: ignore[arg-type]


def test_one_sequence_reads_all_weights_once() -> None:
    without_host = replace(FITTED, graph_s=0, sequence_s=0)
    step_s = replace(times("Llama-3.1-8B"), efficiency=without_host).decode_s(1, 0)
    table = 128256 * 4096
    read = 8.0303e9 - 2 * table + 2 * table  # the input's table is looked up, the output's is in 16 bits
    assert step_s == pytest.approx(read / 3.35e12 / FITTED.weights, rel=0.01)


def test_cache_of_grouped_heads_is_copied_where_gpus_outnumber_them() -> None:
    group = LayerGroup(1, kv_heads=4, head_size=128)
    whole, shared, copied = (cache_bytes(group, replace(SERVING, spread=Spread(tensor)), 100) for tensor in (1, 4, 8))
    assert (whole, shared, copied) == (2 * 4 * 128 * 100, 2 * 128 * 100, 2 * 128 * 100)


def test_a_window_stops_growing_and_a_state_never_grows() -> None:
    window = LayerGroup(1, "window", 8, 128, window=128)
    assert cache_bytes(window, SERVING, 4000) == cache_bytes(window, SERVING, 128)
    state = LayerGroup(1, "linear", state_bytes=1000)
    assert cache_bytes(state, SERVING, 4000) == cache_bytes(state, SERVING, 1) == 1000


def test_latent_attention_reads_little_and_computes_much() -> None:
    deepseek = MODELS["DeepSeek-R1"]
    group = deepseek.layers[0]
    assert cache_bytes(group, SERVING, 1000) == 576 * 1000
    assert attention_flops(group, deepseek, 1000, is_prefill=False) > attention_flops(
        group, deepseek, 1000, is_prefill=True
    )


def test_sparse_attention_reads_its_index_and_no_more_than_it_selects() -> None:
    group = LayerGroup(1, "mla", latent=576, index_bytes=132, selected=2048)
    assert cache_bytes(group, SERVING, 1000) == (576 + 132) * 1000
    assert cache_bytes(group, SERVING, 10_000) == 576 * 2048 + 132 * 10_000


def test_few_tokens_touch_few_experts() -> None:
    one, few, many = (times("Qwen3-235B-A22B", Spread(8)).decode_s(n, 100) for n in (1, 8, 512))
    all_experts_s = 227e9 / 8 / 3.35e12 / FITTED.weights
    assert one + 0.2 * all_experts_s < few < one + 0.5 * all_experts_s
    assert many > one + 0.9 * all_experts_s


def test_tensor_parallelism_shortens_a_step_by_less_than_its_gpus() -> None:
    one, four = times("Llama-3.1-8B").decode_s(64, 1000), times("Llama-3.1-8B", Spread(4)).decode_s(64, 1000)
    assert one / 4 < four < one


def test_without_nvlink_an_exchange_takes_longer() -> None:
    model, serving = MODELS["Llama-3.1-8B"], replace(SERVING, spread=Spread(4))
    exchanged = [RooflineTimes(model, serving, gpu).prefill_s(4096, 0) * gpu.flops["fp8"] for gpu in (H100, L40S)]
    assert exchanged[1] > exchanged[0]


def test_a_pipeline_passes_parts_of_the_batch_through_all_stages() -> None:
    whole = times("Llama-3.1-8B")
    piped = times("Llama-3.1-8B", Spread(pipeline=4))
    host_s = FITTED.sequence_s * (256 - 64)
    assert piped.decode_s(256, 1000) == pytest.approx(whole.decode_s(64, 1000) + host_s)
    assert piped.prefill_s(8192, 0) == pytest.approx(whole.prefill_s(8192, 0) / 4, rel=0.01)


def test_several_prompts_in_a_step_attend_to_themselves_only() -> None:
    roofline = times("Llama-3.1-8B")
    together = roofline.prefill_s(4 * 1000, (1 - 4) * 1000 / 2)
    assert together < roofline.prefill_s(4000, 0)
    assert together <= 4 * roofline.prefill_s(1000, 0)


@pytest.mark.parametrize(("gpu", "weights"), [("A100-SXM-80GB", "fp8"), ("T4", "fp16"), ("H100-SXM-80GB", "mxfp4")])
def test_weights_that_a_gpu_cannot_multiply_are_widened(gpu: str, weights: str) -> None:
    model: LanguageModel = MODELS["gpt-oss-20b"]
    found = RooflineTimes(model, replace(SERVING, weight_type=weights), GPUS[gpu])  # type: ignore[arg-type]
    assert 0 < found.decode_s(8, 1000) < found.decode_s(64, 1000)
