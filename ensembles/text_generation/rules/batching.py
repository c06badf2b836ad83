"""How requests are batched, queued and streamed."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.findings import Finding


@rule("TL001", "the batch is not larger than the engine's")
def batch_fits_the_engine(case: Case) -> Iterator[Finding]:
    """What goes beyond the engine's batch waits inside it, where nothing reports or limits the queue."""
    for llm in case.llms:
        built = llm.facts.max_batch_size
        if built and case.max_batch_size > built:
            message = (
                f"max_batch_size {case.max_batch_size}, but the engine was built with max_batch_size {built} "
                f"({llm.facts.says('build_config.max_batch_size')})"
            )
            hint = f"max_batch_size: {built} or less, or build the engine for more"
            yield case.use.error(message, "with", "max_batch_size", hint=hint)


@rule("TL002", "in-flight batching has an engine that can")
def inflight_needs_its_plugins(case: Case) -> Iterator[Finding]:
    """Source: TensorRT-LLM: trtGptModelInflightBatching.cpp: paged KV cache, packed inputs, attention plug-in."""
    for llm in case.llms:
        hindrance = llm.facts.hinders_inflight
        kind = llm.parameters.get("gpt_model_type", "")
        if hindrance and kind.startswith("inflight"):
            message = f"gpt_model_type {kind}, but the engine was built with {hindrance}"
            hint = "build it with --kv_cache_type paged --remove_input_padding enable --gpt_attention_plugin auto"
            yield case.use.error(message, *llm.where("gpt_model_type"), hint=hint)


@rule("TL003", "requests are batched in flight")
def static_batching_is_regretted(case: Case) -> Iterator[Finding]:
    """V1 waits for the longest answer of a batch; it was deprecated, and is gone since 0.20."""
    for llm in case.llms:
        if llm.given.get("gpt_model_type") == "V1":
            yield case.use.warning(
                "gpt_model_type V1 makes each request wait for the longest answer of its batch",
                *llm.where("gpt_model_type"),
                hint="inflight_fused_batching",
            )
        if llm.parameters.get("gpt_model_type") == "V1" and "batch_scheduler_policy" in llm.given:
            yield case.use.error(
                "batch_scheduler_policy concerns requests in flight; gpt_model_type V1 has none",
                *llm.where("batch_scheduler_policy"),
                hint="leave it out, or gpt_model_type: inflight_fused_batching",
            )


@rule("TL004", "one instance of postprocessing follows a stream")
def stream_keeps_its_order(case: Case) -> Iterator[Finding]:
    """Behind a decoupled step, several instances answer in the order in which they finish (seen on Triton 2.51)."""
    count = case.settings.instances.postprocessing
    if case.settings.streaming and count > 1:
        message = f"{count} instances of postprocessing would reorder streamed tokens"
        hint = "1 instance; or streaming: false; more instances of tensorrt_llm_bls, which detokenises by itself"
        yield case.use.error(message, "with", "instances", "postprocessing", hint=hint)


@rule("TL005", "requests do not wait to be batched")
def delay_gains_nothing(case: Case) -> Iterator[Finding]:
    """In-flight batching takes a request into the next step; waiting for others only adds to its latency."""
    delay = case.settings.max_queue_delay_microseconds
    if delay and not any(llm.parameters.get("gpt_model_type") == "V1" for llm in case.llms):
        message = f"max_queue_delay_microseconds {delay} adds latency and gains nothing with in-flight batching"
        yield case.use.warning(message, "with", "max_queue_delay_microseconds", hint="leave it out")


@rule("TL006", "every prompt that the engine takes fits into a step, or is read in pieces")
def long_prompts_fit_a_step(case: Case) -> Iterator[Finding]:
    """Without chunked context a prompt is read in one step, so it is limited by max_num_tokens too."""
    for llm in case.llms:
        engine = llm.facts.engine
        if engine is None or llm.is_on("enable_chunked_context") or engine.encoder:
            continue
        step, prompt = engine.limits.max_num_tokens, engine.limits.max_input_len
        if step < prompt:
            message = (
                f"prompts of {step + 1} to {prompt} tokens are refused: the engine has max_num_tokens {step} "
                f"and max_input_len {prompt} ({llm.facts.says('build_config.max_num_tokens')})"
            )
            hint = "enable_chunked_context: true, or build the engine with a larger max_num_tokens"
            yield case.use.warning(message, *llm.where("enable_chunked_context"), hint=hint)
