"""The KV cache: reuse, chunks, windows, memory."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.findings import Finding


@rule("TL020", "prompts are reused and read in pieces only where the engine was built for it")
def reuse_needs_paged_context(case: Case) -> Iterator[Finding]:
    """Both continue a prompt whose beginning is in the cache already, which only paged context attention can.

    Source: TensorRT-LLM: docs of kv-cache-reuse, chunked context.
    """
    for llm in case.llms:
        for name in ("enable_kv_cache_reuse", "enable_chunked_context"):
            if llm.is_on(name) and llm.facts.engine and not llm.facts.can_reuse:
                message = (
                    f"{name} true, but the engine was built with use_paged_context_fmha off "
                    f"({llm.facts.says('build_config.plugin_config.use_paged_context_fmha')})"
                )
                hint = "leave it out, or build the engine with --use_paged_context_fmha enable"
                yield case.use.error(message, *llm.where(name), hint=hint)


@rule("TL021", "an INT8 KV cache is not reused")
def int8_cache_is_not_reused(case: Case) -> Iterator[Finding]:
    """Answers differ from those without reuse (TensorRT-LLM #2166)."""
    for llm in case.llms:
        shape = llm.facts.architecture
        if shape and shape.kv_cache_quantisation == "INT8" and llm.is_on("enable_kv_cache_reuse"):
            message = (
                "enable_kv_cache_reuse true with an INT8 KV cache gives other answers "
                f"({llm.facts.says('pretrained_config.quantization.kv_cache_quant_algo')})"
            )
            yield case.use.warning(
                message, *llm.where("enable_kv_cache_reuse"), hint="leave it out, or quantise to FP8"
            )


@rule("TL022", "host memory is for blocks that are reused")
def host_memory_is_for_reuse(case: Case) -> Iterator[Finding]:
    """Only blocks that may be reused are offloaded. Source: TensorRT-LLM: docs of kv-cache-reuse."""
    for llm in case.llms:
        if llm.number("kv_cache_host_memory_bytes") and not llm.is_on("enable_kv_cache_reuse"):
            message = f"kv_cache_host_memory_bytes {llm.given['kv_cache_host_memory_bytes']} is of no use without reuse"
            yield case.use.warning(
                message, *llm.where("kv_cache_host_memory_bytes"), hint="enable_kv_cache_reuse: true"
            )


@rule("TL023", "reuse tells prompt embedding tables apart")
def tables_are_told_apart(case: Case) -> Iterator[Finding]:
    """Two requests with the same placeholder tokens and other tables hit the same blocks unless extra ids differ."""
    for llm in case.llms:
        engine = llm.facts.engine
        if engine and engine.limits.max_prompt_embedding_table_size and llm.is_on("enable_kv_cache_reuse"):
            if case.version < (0, 13):
                message = (
                    f"{case.release} reuses blocks of other prompt embedding tables: prompt_table_extra_ids came later"
                )
                yield case.use.error(message, *llm.where("enable_kv_cache_reuse"), hint="enable_kv_cache_reuse: false")
            elif "enable_kv_cache_reuse" not in llm.given:
                message = (
                    "blocks are reused, and the engine takes prompt embedding tables "
                    f"({llm.facts.says('build_config.max_prompt_embedding_table_size')}): "
                    "requests with a table must send prompt_table_extra_id, or they get another's answer"
                )
                hint = "enable_kv_cache_reuse: true where clients send it, else false"
                yield case.use.warning(message, *llm.where("enable_kv_cache_reuse"), hint=hint)


@rule("TL024", "sink tokens have an engine for StreamingLLM")
def sinks_need_streaming_llm(case: Case) -> Iterator[Finding]:
    """Without --streamingllm the first tokens leave the window like all others."""
    for llm in case.llms:
        sink = int(llm.number("sink_token_length"))
        if sink and llm.facts.engine and not llm.facts.engine.options.is_streaming_llm:
            message = (
                f"sink_token_length {sink}, but the engine was built with streamingllm off "
                f"({llm.facts.says('build_config.plugin_config.streamingllm')})"
            )
            hint = "leave it out, or build the engine with --streamingllm enable"
            yield case.use.error(message, *llm.where("sink_token_length"), hint=hint)


@rule("TL025", "attention looks back no further than a sequence is long")
def window_fits_the_sequence(case: Case) -> Iterator[Finding]:
    """A longer window is the whole sequence, and memory is planned for it."""
    for llm in case.llms:
        windows = llm.given.get("max_attention_window_size", "")
        longest = llm.facts.engine.limits.max_seq_len if llm.facts.engine else 0
        for window in (int(text) for text in windows.split(",") if text):
            if longest and window > longest:
                message = (
                    f"max_attention_window_size {window}, but the engine was built with max_seq_len {longest} "
                    f"({llm.facts.says('build_config.max_seq_len')})"
                )
                yield case.use.warning(message, *llm.where("max_attention_window_size"), hint=f"at most {longest}")


@rule("TL026", "the cache holds the longest sequence")
def cache_holds_a_sequence(case: Case) -> Iterator[Finding]:
    """guaranteed_no_evict admits a request only where its whole answer has room: a longer one waits for ever."""
    for llm in case.llms:
        tokens = int(llm.number("max_tokens_in_paged_kv_cache"))
        longest = llm.facts.engine.limits.max_seq_len if llm.facts.engine else 0
        if tokens and tokens < longest:
            message = (
                f"max_tokens_in_paged_kv_cache {tokens} does not hold one sequence of max_seq_len {longest} "
                f"({llm.facts.says('build_config.max_seq_len')})"
            )
            yield case.use.error(message, *llm.where("max_tokens_in_paged_kv_cache"), hint=f"at least {longest}")
