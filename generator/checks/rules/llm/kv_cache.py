"""The KV cache of an LLM against its engine: reuse, chunks, windows, room."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.checks.rules.llm.llms import Llm
from tritonsmith.generator.checks.rules.llm.registry import ASSERTED, llm_check
from tritonsmith.generator.findings import Finding, Phase

# From here on the executor turns off what the engine cannot do, with a warning in its log; before, it refused to load.
_FORGIVING = (0, 16)


def _has_paged_context(llm: Llm) -> bool:
    options = llm.engine.options if llm.engine else None
    return options is None or (options.has_paged_context_fmha and options.kv_cache == "PAGED")


@llm_check(
    "TS742",
    "prompts are reused only where the engine was built for it (before TensorRT-LLM 0.16)",
    triton=f"{ASSERTED}When KV cache block reuse is set, model has to be built with paged context FMHA support...",
)
def reuse_was_refused(llm: Llm) -> Iterator[Finding]:
    """A prompt whose beginning is in the cache is gone on with, which only paged context attention can.

    Source: tensorrtllm, Lint rule 23; tensorrtllm_backend #271, #323.
    """
    if llm.version < _FORGIVING and llm.known:
        yield from _not_built_for(llm, "enable_kv_cache_reuse")


@llm_check("TS741", "prompts are reused only where the engine was built for it", phase=Phase.REQUEST)
def reuse_needs_paged_context(llm: Llm) -> Iterator[Finding]:
    """The executor turns reuse off ("KV cache reuse disabled because model was not built with paged context FMHA").

    Source: tensorrtllm, Lint rule 23; TensorRT-LLM: trtGptModelInflightBatching.cpp (fixExecutorConfig).
    """
    if llm.version >= _FORGIVING or not llm.known:
        yield from _not_built_for(llm, "enable_kv_cache_reuse")


@llm_check("TS743", "prompts are read in pieces only where the engine was built for it", phase=Phase.REQUEST)
def chunks_need_paged_context(llm: Llm) -> Iterator[Finding]:
    """The executor turns chunks off, and a prompt beyond max_num_tokens is refused.

    Source: tensorrtllm, Lint rule 23; tensorrtllm_backend #679 ("Chunked context is not supported ...").
    """
    yield from _not_built_for(llm, "enable_chunked_context")


def _not_built_for(llm: Llm, name: str) -> Iterator[Finding]:
    if llm.is_true(name) and not _has_paged_context(llm):
        says = llm.says("build_config.plugin_config.use_paged_context_fmha")
        message = f"{name} is true, the engine was built with use_paged_context_fmha off ({says})"
        yield llm.error(name, message, "leave it out, or build the engine with --use_paged_context_fmha enable")


@llm_check("TS744", "an INT8 KV cache is not reused", spec="TL021")
def int8_cache_is_not_reused(llm: Llm) -> Iterator[Finding]:
    """Answers differ from those without reuse.

    Source: tensorrtllm, Lint rule 23; TensorRT-LLM #2166.
    """
    if llm.engine and llm.engine.architecture.kv_cache_quantisation == "INT8" and llm.is_true("enable_kv_cache_reuse"):
        says = llm.says("pretrained_config.quantization.kv_cache_quant_algo")
        message = f"enable_kv_cache_reuse is true with an INT8 KV cache ({says}): other answers than without"
        yield llm.warning("enable_kv_cache_reuse", message, "leave it out, or quantise to FP8")


@llm_check("TS745", "reuse tells prompt embedding tables apart", spec="TL023")
def tables_are_told_apart(llm: Llm) -> Iterator[Finding]:
    """Requests with the same placeholder tokens and other tables hit the same blocks unless extra ids differ.

    Source: tensorrtllm, Lint rule 23.
    """
    if not (llm.engine and llm.engine.limits.max_prompt_embedding_table_size and llm.is_on("enable_kv_cache_reuse")):
        return
    names = {tensor.name for tensor in llm.model.config.input}
    if "prompt_embedding_table" in names and "prompt_table_extra_ids" not in names and _has_paged_context(llm):
        message = "blocks are reused, and requests with a prompt_embedding_table have no input prompt_table_extra_ids"
        yield llm.model.warning("input", message, remedy='declare it, or enable_kv_cache_reuse: "false"')


@llm_check("TS746", "host memory is for blocks that are reused", spec="TL022")
def host_memory_is_for_reuse(llm: Llm) -> Iterator[Finding]:
    """Only blocks that may be reused are offloaded.

    Source: tensorrtllm, Lint rule 23; TensorRT-LLM: docs of kv-cache-reuse.
    """
    given = llm.whole("kv_cache_host_memory_bytes")
    if given and llm.known and not llm.is_on("enable_kv_cache_reuse"):
        message = f"kv_cache_host_memory_bytes {given} is of no use without enable_kv_cache_reuse"
        yield llm.warning("kv_cache_host_memory_bytes", message, 'enable_kv_cache_reuse: "true"')


@llm_check("TS748", "context logits and reuse do not go together")
def context_logits_end_reuse(llm: Llm) -> Iterator[Finding]:
    """Reused tokens have no logits, so the executor turns reuse off for an engine that gathers them.

    Source: TensorRT-LLM: trtGptModelInflightBatching.cpp (fixExecutorConfig).
    """
    gathers = llm.engine is not None and llm.engine.options.gathers_context_logits
    if gathers and llm.is_true("enable_kv_cache_reuse") and _has_paged_context(llm):
        says = llm.says("build_config.gather_context_logits")
        message = f"enable_kv_cache_reuse is true, the engine gathers context logits ({says}): nothing is reused"
        yield llm.warning("enable_kv_cache_reuse", message, "leave it out, or build without --gather_context_logits")


@llm_check(
    "TS747",
    "blocks come back to the GPU before they are reused",
    triton=f"{ASSERTED}KV cache blocks need to be onboarded if context FMHA....",
)
def blocks_are_onboarded(llm: Llm) -> Iterator[Finding]:
    """Paged context attention reads the GPU's memory alone.

    Source: TensorRT-LLM: trtGptModelInflightBatching.cpp.
    """
    built = llm.engine is not None and llm.engine.options.has_paged_context_fmha
    if built and llm.is_true("kv_cache_onboard_blocks") is False and not llm.is_python:
        says = llm.says("build_config.plugin_config.use_paged_context_fmha")
        message = f"kv_cache_onboard_blocks is false, the engine was built with use_paged_context_fmha ({says})"
        yield llm.error("kv_cache_onboard_blocks", message, "leave it out")


@llm_check("TS766", "sink tokens have an engine for StreamingLLM")
def sinks_need_streaming_llm(llm: Llm) -> Iterator[Finding]:
    """Without --streamingllm the first tokens leave the window like all others.

    Source: tensorrtllm, Lint rule 35.
    """
    sink = llm.whole("sink_token_length")
    if sink and llm.engine and not llm.engine.options.is_streaming_llm:
        says = llm.says("build_config.plugin_config.streamingllm")
        message = f"sink_token_length is {sink}, the engine was built with streamingllm off ({says})"
        yield llm.warning("sink_token_length", message, "leave it out, or build with --streamingllm enable")


@llm_check("TS767", "attention looks back no further than a sequence is long", spec="TL025")
def window_fits_the_sequence(llm: Llm) -> Iterator[Finding]:
    """A longer window is the whole sequence, and memory is planned for it.

    Source: tensorrtllm, Lint rule 35.
    """
    longest = llm.engine.limits.max_seq_len if llm.engine else 0
    windows = [int(text) for text in re.findall(r"\d{1,18}", llm.text("max_attention_window_size"))]
    if longest and windows and max(windows) > longest:
        says = llm.says("build_config.max_seq_len")
        message = f"max_attention_window_size {max(windows)}: the engine was built with max_seq_len {longest} ({says})"
        yield llm.warning("max_attention_window_size", message, f"at most {longest}")


@llm_check("TS768", "the cache holds the longest sequence", phase=Phase.REQUEST)
def cache_holds_a_sequence(llm: Llm) -> Iterator[Finding]:
    """guaranteed_no_evict admits a request only where its whole answer has room: a longer one waits for ever.

    Source: TensorRT-LLM: docs of the capacity scheduler.
    """
    tokens, longest = llm.whole("max_tokens_in_paged_kv_cache"), llm.engine.limits.max_seq_len if llm.engine else 0
    if tokens is not None and 0 < tokens < longest:
        says = llm.says("build_config.max_seq_len")
        message = f"max_tokens_in_paged_kv_cache {tokens} does not hold one sequence of max_seq_len {longest} ({says})"
        yield llm.error("max_tokens_in_paged_kv_cache", message, f"at least {longest}")
