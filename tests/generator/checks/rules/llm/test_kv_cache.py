"""The KV cache of an LLM against its engine."""

from typing import Any

import pytest

from tests.generator.checks.rules.llm.models import found, llm, told
from tritonsmith.generator.findings import Phase
from tritonsmith.generator.repository.core import Model

ON: dict[str, Any] = {"enable_kv_cache_reuse": "true"}
PAGED = "llama-0.16.0-paged-fmha"
BROKEN: list[tuple[str, Model, dict[str, Any], str]] = [
    ("TS742", llm(engine="llama-0.12.0", **ON), {"release": "24.08"}, "enable_kv_cache_reuse is true, the engine was"),
    ("TS741", llm(engine="llama-0.16.0", **ON), {}, "built with use_paged_context_fmha off"),
    ("TS743", llm(engine="llama-0.16.0", enable_chunked_context="true"), {}, "enable_chunked_context is true"),
    ("TS744", llm(engine="llama-1.2.1-int8-kv", **ON), {"release": "26.04"}, "with an INT8 KV cache"),
    (
        "TS745",
        llm(
            engine=PAGED,
            changes={"build_config.max_prompt_embedding_table_size": 576},
            types={"prompt_embedding_table": "TYPE_BF16"},
            **ON,
        ),
        {},
        "have no input prompt_table_extra_ids",
    ),
    ("TS746", llm(kv_cache_host_memory_bytes="1000"), {}, "kv_cache_host_memory_bytes 1000 is of no use"),
    ("TS747", llm(engine=PAGED, kv_cache_onboard_blocks="false"), {}, "kv_cache_onboard_blocks is false"),
    (
        "TS748",
        llm(engine=PAGED, changes={"build_config.gather_context_logits": 1}, **ON),
        {},
        "the engine gathers context logits",
    ),
    ("TS766", llm(engine="llama-0.16.0", sink_token_length="4"), {}, "built with streamingllm off"),
    (
        "TS767",
        llm(engine="llama-0.16.0", max_attention_window_size="256,8192"),
        {},
        "max_attention_window_size 8192: the",
    ),
    ("TS768", llm(engine="llama-0.16.0", max_tokens_in_paged_kv_cache="4095"), {}, "4095 does not hold one sequence"),
]


@pytest.mark.parametrize(("code", "model", "given", "message"), BROKEN)
def test_what_is_wrong_is_told_once(code: str, model: Model, given: dict[str, Any], message: str) -> None:
    said = told(model, **given)
    assert set(said) == {code}
    assert [message in text for text in said[code]] == [True]


@pytest.mark.parametrize(
    ("model", "release"),
    [
        (llm(engine=PAGED, enable_chunked_context="true", **ON), "24.12"),
        (llm(**ON), "24.12"),  # the engine lies elsewhere
        (llm(engine="llama-1.0.0-streamed"), "25.09"),  # reuse is the default, and turned off where it cannot be
        (llm(kv_cache_host_memory_bytes="1000"), "25.09"),
        (llm(kv_cache_host_memory_bytes="1000", **ON), "24.12"),
        (llm(engine="llama-0.16.0", kv_cache_onboard_blocks="false"), "24.12"),
        (llm(engine="llama-0.16.0", max_attention_window_size="4096,256"), "24.12"),
        (llm(engine="llama-0.16.0", max_tokens_in_paged_kv_cache="4096"), "24.12"),
    ],
)
def test_nothing_is_said_of_what_fits(model: Model, release: str) -> None:
    assert told(model, release=release) == {}


def test_reuse_was_refused_at_load_and_is_turned_off_today() -> None:
    assert [finding.phase for finding in found(llm(engine="llama-0.12.0", **ON), release="24.08")] == [Phase.LOAD]
    assert [finding.phase for finding in found(llm(engine="llama-0.16.0", **ON))] == [Phase.REQUEST]
