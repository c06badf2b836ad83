"""What is filled into NVIDIA's templates."""

from typing import Any

import pytest

from tests.generator.checks.rules.llm.models import found, llm, told
from tritonsmith.generator.findings import Phase, Severity
from tritonsmith.generator.repository.core import Model

BROKEN: list[tuple[str, Model, dict[str, Any], str]] = [
    ("TS702", llm(enable_kv_cache_reuse="yes"), {}, "enable_kv_cache_reuse is 'yes', which the backend does not read"),
    ("TS702", llm(enable_kv_cache_reuse="True "), {}, "is 'True '"),
    ("TS702", llm(max_beam_width="four"), {}, "parameter max_beam_width is 'four'"),
    ("TS702", llm(kv_cache_free_gpu_mem_fraction="most"), {}, "is 'most'"),
    ("TS702", llm(batch_scheduler_policy="max"), {}, "parameter batch_scheduler_policy is 'max'"),
    ("TS702", llm(python=True, normalize_log_probs="yes"), {}, "parameter normalize_log_probs is 'yes'"),
    ("TS719", llm(max_beam_widht="2"), {}, "no parameter 'max_beam_widht'. Did you mean 'max_beam_width'?"),
    ("TS719", llm(num_nodes="2"), {}, "has no parameter 'num_nodes'. It came with 0.19."),
    (
        "TS709",
        llm(types={"min_length": "TYPE_INT32"}),
        {"release": "26.03"},
        "input min_length: TensorRT-LLM until 1.0",
    ),
    ("TS709", llm(types={"seed": "TYPE_UINT64"}), {}, "input seed: TensorRT-LLM since 1.0; Triton 24.12 has 0.16.0"),
    ("TS710", llm(gpt_model_type="inflight"), {}, "gpt_model_type is 'inflight', no way of batching"),
    ("TS711", llm(gpt_model_type="V1"), {}, "makes each request wait for the longest answer"),
    ("TS711", llm(gpt_model_type="V1"), {"release": "25.06"}, "gpt_model_type V1 is gone since TensorRT-LLM 0.20"),
    ("TS712", llm(gpt_model_type=None), {}, "parameter gpt_model_type missing"),
    ("TS712", llm(tokenizer_dir=None), {"release": "25.05"}, "parameter tokenizer_dir missing"),
    ("TS713", llm(python=True, decoding_mode="topk"), {}, "decoding_mode is 'topk', which the Python model refuses"),
    ("TS713", llm(python=True, gpt_model_type="static"), {}, "parameter gpt_model_type is 'static'"),
    ("TS714", llm(decoding_mode="top-k"), {}, "decoding_mode is 'top-k', which the backend does not know."),
    ("TS715", llm(worker_path="/x"), {}, "worker_path is '/x', which is no longer read"),
    ("TS716", llm(max_tokens_in_paged_kv_cache="0"), {}, "max_tokens_in_paged_kv_cache is 0"),
    ("TS716", llm(max_attention_window_size="4096,0"), {}, "max_attention_window_size is 4096,0"),
    ("TS716", llm(kv_cache_free_gpu_mem_fraction="0.0"), {}, "kv_cache_free_gpu_mem_fraction is 0.0"),
    ("TS717", llm(kv_cache_free_gpu_mem_fraction="1"), {}, "kv_cache_free_gpu_mem_fraction is 1"),
]


@pytest.mark.parametrize(("code", "model", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, model: Model, given: dict[str, Any], message: str) -> None:
    said = told(model, **given)
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


@pytest.mark.parametrize(
    ("model", "release"),
    [
        (llm(), "24.08"),
        (llm(), "26.07"),
        (llm(enable_kv_cache_reuse="True"), "24.12"),  # C++ reads it
        (llm(enable_kv_cache_reuse="1"), "24.12"),
        (llm(max_beam_width=" 1"), "24.12"),  # as std::stoi does
        (llm(kv_cache_free_gpu_mem_fraction=".5"), "24.12"),
        (llm(max_attention_window_size="4096, 256"), "24.12"),
        (llm(gpt_model_type="v1", batch_scheduler_policy="max_utilization"), "24.12"),
        (llm(tokenizer_dir=None, guided_decoding_backend=None, xgrammar_tokenizer_info_path=None), "24.12"),
        (llm(num_nodes="2"), "25.05"),
        (llm(types={"min_length": "TYPE_INT32"}), "24.12"),
        (llm(types={"min_tokens": "TYPE_INT32", "mine": "TYPE_INT32"}), "26.03"),
        (llm(decoding_mode="${decoding_mode}", max_beam_width="${max_beam_width}"), "24.12"),  # another finding
        (llm(python=True, decoding_mode="auto", gpt_model_type="V1"), "24.12"),
        (llm(python=True, normalize_log_probs="TRUE"), "24.12"),
    ],
)
def test_nothing_is_said_of_what_is_right(model: Model, release: str) -> None:
    said = told(model, release=release)
    said.pop("TS711", None)
    assert said == {}


def test_what_is_refused_does_not_load_and_what_is_ignored_does() -> None:
    (refused,) = found(llm(gpt_model_type="inflight"))
    assert refused.severity is Severity.ERROR and refused.phase is Phase.LOAD
    (ignored,) = found(llm(enable_kv_cache_reuse="yes"))
    assert ignored.severity is Severity.ERROR and ignored.phase is Phase.REQUEST
    (unread,) = found(llm(num_nodes="2"))
    assert unread.severity is Severity.WARNING
