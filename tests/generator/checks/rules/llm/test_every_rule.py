"""Every rule of the subject is broken somewhere, once, and says where it comes from."""

import re

import pytest

from tests.generator.checks.rules.llm import (
    test_between_models,
    test_deployment,
    test_engine_fit,
    test_kv_cache,
    test_llmapi,
    test_speculation,
    test_templates,
)
from tritonsmith.generator.checks.registry import Check, all_checks

RULES = {code: check for code, check in all_checks().items() if code.startswith("TS7")}
TABLES = (
    *(test_templates.BROKEN, test_between_models.BROKEN, test_engine_fit.BROKEN, test_kv_cache.BROKEN),
    *(test_speculation.BROKEN, test_deployment.BROKEN, test_llmapi.BROKEN),
)
# TensorRT-LLM's own words, as they stand in a server's log.
LOGGED = {
    "TS710": "unexpected error when creating modelInstanceState: Invalid gpt_model_type. Must be "
    "v1/inflight_batching/inflight_fused_batching.",
    "TS712": "unexpected error when creating modelInstanceState: Cannot find parameter with name: tokenizer_dir",
    "TS730": "unexpected error when creating modelInstanceState: [TensorRT-LLM][ERROR] Assertion failed: Both encoder "
    "and decoder model paths are empty (/app/inflight_batcher_llm/src/model_instance_state.cc:772)",
    "TS742": "unexpected error when creating modelInstanceState: [TensorRT-LLM][ERROR] Assertion failed: When KV cache "
    "block reuse is set, model has to be built with paged context FMHA support (/app/x.cpp:140)",
    "TS737": "unexpected error when creating modelInstanceState: [TensorRT-LLM][ERROR] Assertion failed: Runtime "
    "configured max beam width (4) must not exceed engine max beam width (1) (/app/trtGptModel.h:78)",
    "TS740": "unexpected error when creating modelInstanceState: TrtGptModelInflightBatching requires GPT "
    "attention/Mamba Conv 1d plugin with packed input and paged KV cache.",
    "TS717": "unexpected error when creating modelInstanceState: [TensorRT-LLM][ERROR] Assertion failed: "
    "freeGpuMemoryFraction < 1.F (/app/kvCacheConfig.cpp:190)",
}


def test_every_rule_is_broken_in_one_of_the_tables() -> None:
    assert set(RULES) == {entry[0] for table in TABLES for entry in table} | {"TS775"}  # TS775 has a test of its own


@pytest.mark.parametrize("check", RULES.values(), ids=RULES)
def test_every_rule_says_why_and_where_it_comes_from(check: Check) -> None:
    assert "Source: " in check.reason
    assert re.search(r"tensorrtllm|TensorRT-LLM", check.reason)


@pytest.mark.parametrize(("code", "line"), LOGGED.items(), ids=LOGGED)
def test_a_pattern_matches_the_log_line_of_its_rule_alone(code: str, line: str) -> None:
    whole = f'E1121 02:00:00.1 7 backend_model.cc:692] "ERROR: Failed to create instance: {line}"'
    checks = all_checks().values()
    assert [check.code for check in checks if check.pattern and re.search(check.pattern, whole)] == [code]
