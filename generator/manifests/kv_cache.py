"""What an LLM's KV cache is like, as far as routing by prefix must know it."""

from __future__ import annotations

from dataclasses import dataclass

from tritonsmith.generator.manifests.launch import llm_document
from tritonsmith.generator.repository.core import Repository


@dataclass(frozen=True)
class KvCache:
    """An LLM's KV cache: whether a prompt finds what an earlier one left, in blocks of how many tokens.

    `tokens_per_block` is 0 where the engine lies outside the repository.
    """

    model: str
    parameter: str  # that turns reuse on
    is_reused: bool
    tokens_per_block: int


def kv_caches(repository: Repository) -> tuple[KvCache, ...]:
    """Return the KV caches of a repository's LLMs, those of the LLM API included."""
    from tritonsmith.generator.checks.case import Case, Target
    from tritonsmith.generator.checks.rules.llm.llms import llms_of

    parameter = "enable_kv_cache_reuse"
    found = [
        KvCache(llm.name, parameter, llm.is_on(parameter), llm.engine.options.tokens_per_block if llm.engine else 0)
        for llm in llms_of(Case(repository, Target.of(repository)))
    ]
    for model in repository.models.values():
        if document := llm_document(model):
            cache = document.get("kv_cache_config")
            cache = cache if isinstance(cache, dict) else {}
            # both defaults: TensorRT-LLM: llmapi/llm_args.py (KvCacheConfig)
            is_reused, blocks = cache.get("enable_block_reuse", True), cache.get("tokens_per_block", 32)
            name = "kv_cache_config.enable_block_reuse"
            found.append(KvCache(model.name, name, is_reused is True, blocks if isinstance(blocks, int) else 0))
    return tuple(found)
