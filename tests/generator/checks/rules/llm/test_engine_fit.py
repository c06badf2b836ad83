"""An LLM against the engine beside it."""

from typing import Any

import pytest

from tests.generator.checks.rules.llm.models import HERE, engine_files, found, llm, told
from tritonsmith.generator.findings import Phase, Severity
from tritonsmith.generator.repository.core import Content, Model

PAGED = {"build_config.plugin_config.use_paged_context_fmha": True}
BROKEN: list[tuple[str, Model, dict[str, Any], str]] = [
    ("TS730", llm(gpt_model_path=None), {}, "neither gpt_model_path nor encoder_model_path is set"),
    ("TS731", llm(gpt_model_path=HERE), {}, "is tensorrt_llm/1/engine of this repository, which is not there"),
    (
        "TS732",
        llm(gpt_model_path=HERE, files={"1/engine/rank0.engine": Content(b"")}),
        {},
        "tensorrt_llm/1/engine holds an engine without config.json",
    ),
    ("TS733", llm(engine="llama-0.16.0", ranks=0), {}, "rank0.engine is not there"),
    ("TS733", llm(engine="llama-0.16.0", changes={"build_config.max_batch_size": "x"}), {}, "expected a whole number"),
    (
        "TS733",
        llm(gpt_model_path=HERE, files={"1/engine/config.json": Content(b"{")}),
        {},
        "config.json of the engine is no JSON",
    ),
    (
        "TS733",
        llm(gpt_model_path=HERE, files={"1/engine/config.json": Content(b'{"builder_config": {}}')}),
        {},
        "layout from before TensorRT-LLM 0.8",
    ),
    ("TS734", llm(engine="llama-0.16.0"), {"release": "25.01"}, "built by TensorRT-LLM 0.16.0"),
    ("TS735", llm(engine="llama-0.16.0"), {"gpu": "A100"}, "the engine was built on H100"),
    (
        "TS736",
        llm(engine="llama-0.16.0", batch=17),
        {},
        "max_batch_size is 17, the engine was built with max_batch_size 16",
    ),
    ("TS737", llm(engine="llama-0.16.0", max_beam_width="2"), {}, "max_beam_width is 2, the engine was built with"),
    (
        "TS740",
        llm(engine="llama-0.16.0", changes={"build_config.kv_cache_type": "CONTINUOUS"}),
        {},
        "the engine was built with kv_cache_type CONTINUOUS",
    ),
    (
        "TS740",
        llm(engine="llama-0.16.0", changes={"build_config.plugin_config.remove_input_padding": False}),
        {},
        "remove_input_padding off",
    ),
    ("TS749", llm(engine="llama-0.16.0", gpu_weights_percent="0.5"), {}, "built with weight_streaming off"),
    ("TS750", llm(engine="llama-0.16.0", lora_cache_max_adapter_size="16"), {}, "built with lora_plugin off"),
    ("TS751", llm(lora_cache_optimal_adapter_size="65"), {}, "optimal_adapter_size 65 is above lora_cache_max_adapter"),
    ("TS751", llm(engine="llama-0.16.0-lora", lora_cache_max_adapter_size="512"), {}, "the engine takes ranks up to"),
    (
        "TS759",
        llm(engine="llama-0.16.0", changes={"build_config.max_num_tokens": 1024}),
        {},
        "prompts of 1025 to 2048 tokens are refused",
    ),
    ("TS760", llm(encoder_model_path="/engines/t5"), {}, "an encoder-decoder model without cross_kv_cache_fraction"),
    ("TS761", llm(engine="llama-0.16.0", cross_kv_cache_fraction="0.5"), {}, "LlamaForCausalLM has no encoder"),
    (
        "TS762",
        llm(
            engine="t5-0.16.0-decoder",
            changes={"version": "0.16.0"},
            encoder_model_path="/e",
            cross_kv_cache_fraction="0.5",
            types={"encoder_input_features": "TYPE_BF16"},
        ),
        {},
        "encoder_input_features is TYPE_BF16, the engine's is TYPE_FP16",
    ),
    (
        "TS769",
        llm(engine="llama-1.2.1-fp8", outputs={"context_logits": "TYPE_FP16"}),
        {"release": "26.04"},
        "context_logits is TYPE_FP16, the engine's is TYPE_FP32",
    ),
    (
        "TS770",
        llm(
            engine="llama-0.16.0",
            changes={"build_config.max_prompt_embedding_table_size": 576},
            types={"prompt_embedding_table": "TYPE_FP16"},
        ),
        {},
        "prompt_embedding_table is TYPE_FP16, the engine's is TYPE_BF16",
    ),
]


@pytest.mark.parametrize(("code", "model", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, model: Model, given: dict[str, Any], message: str) -> None:
    said = told(model, **given)
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


@pytest.mark.parametrize(
    ("model", "release"),
    [
        (llm(engine="llama-0.16.0", batch=16), "24.12"),
        (llm(engine="llama-0.16.0", changes={"version": "0.17.0"}), "25.02"),  # 0.17.0.post1 runs it
        (llm(engine="llama-0.16.0-beam4", max_beam_width="4"), "24.12"),
        (llm(engine="gpt-0.16.0-static", gpt_model_type="V1", batch=1), "24.12"),
        (llm(engine="llama-1.0.0-streamed", gpu_weights_percent="0.5"), "25.09"),
        (llm(engine="llama-0.16.0-lora", lora_cache_max_adapter_size="16"), "24.12"),
        (llm(encoder_model_path="/e", cross_kv_cache_fraction="0.5"), "24.12"),
        (llm(encoder_model_path="/e"), "24.09"),  # cross_kv_cache_fraction came with 0.14
        (llm(engine="llama-0.16.0", outputs={"context_logits": "TYPE_FP32"}), "24.12"),
        (llm(engine="llama-0.19.0-tp4", gpu_device_ids="0,1,2,3"), "25.05"),
        (llm(gpt_model_path="/elsewhere/engine"), "24.12"),
        (llm(gpt_model_path="/models/tensorrt_llm/2/engine"), "24.12"),  # no such version: it may lie there
        (llm(gpt_model_path="/models/tensorrt_llm/1/../../../etc"), "24.12"),
        (llm(gpt_model_path=HERE, files={"1/engine/config.json": Content(b'{"architectures": ["X"]}')}), "24.12"),
    ],
)
def test_nothing_is_said_of_what_fits(model: Model, release: str) -> None:
    said = told(model, release=release)
    said.pop("TS711", None)  # V1
    assert said == {}


def test_an_engine_elsewhere_in_the_repository_is_found() -> None:
    shared = Model("shared", None, engine_files("llama-0.16.0"), ("1",))
    assert set(told(llm(gpt_model_path="/repo/shared/1/engine", max_beam_width="2"), shared)) == {"TS737"}


def test_an_engine_of_another_version_does_not_load_and_names_the_release_that_has_it() -> None:
    (finding,) = found(llm(engine="llama-0.16.0"), release="25.01")
    assert finding.phase is Phase.LOAD
    assert finding.remedy.startswith("Triton 24.12, or build the engine")


def test_a_batch_beyond_the_engine_s_is_regretted() -> None:
    (finding,) = found(llm(engine="llama-0.16.0", batch=17))
    assert finding.severity is Severity.WARNING
