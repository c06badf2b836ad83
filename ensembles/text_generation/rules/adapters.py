"""LoRA adapters and their cache."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.findings import Finding


@rule("TL050", "adapters have an engine that takes them")
def adapters_need_their_plugin(case: Case) -> Iterator[Finding]:
    """A cache for adapters is of no use to an engine without the LoRA plug-in, which refuses lora_task_id."""
    for llm in case.llms:
        given = [name for name in llm.given if name.startswith("lora_")]
        if given and llm.facts.engine and not llm.facts.engine.options.has_lora:
            message = (
                f"{given[0]} {llm.given[given[0]]}, but the engine was built with lora_plugin off "
                f"({llm.facts.says('build_config.plugin_config.lora_plugin')})"
            )
            hint = "leave it out, or build the engine with --lora_plugin auto --lora_target_modules ..."
            yield case.use.error(message, *llm.where(given[0]), hint=hint)


@rule("TL051", "the cache holds the largest adapter, and the engine takes it")
def adapters_fit(case: Case) -> Iterator[Finding]:
    """Sizes are ranks; what the engine was not built for can never come."""
    for llm in case.llms:
        best = int(llm.number("lora_cache_optimal_adapter_size", 8))
        most = int(llm.number("lora_cache_max_adapter_size", 64))
        options = llm.facts.engine.options if llm.facts.engine else None
        name = (
            "lora_cache_max_adapter_size"
            if "lora_cache_max_adapter_size" in llm.given
            else "lora_cache_optimal_adapter_size"
        )
        if name in llm.given and best > most:
            message = f"lora_cache_optimal_adapter_size {best} is larger than lora_cache_max_adapter_size {most}"
            yield case.use.error(message, *llm.where(name), hint="optimal is the rank that most adapters have")
        built = options.max_lora_rank if options and options.has_lora else 0
        if "lora_cache_max_adapter_size" in llm.given and most > built > 0:
            message = (
                f"lora_cache_max_adapter_size {most}, but the engine was built with max_lora_rank {built} "
                f"({llm.facts.says('build_config.lora_config.max_lora_rank')})"
            )
            yield case.use.error(message, *llm.where(name), hint=f"{built}, or build the engine for more")


@rule("TL052", "adapters come through models that have their tensors")
def adapters_have_tensors(case: Case) -> Iterator[Finding]:
    """The ensemble and tensorrt_llm_bls have lora_task_id since 0.15; before, only tensorrt_llm itself."""
    for llm in case.llms:
        if any(name.startswith("lora_") for name in llm.given) and case.version < (0, 15):
            message = (
                f"{case.release}: adapters can be named to {llm.name} alone, not to the ensemble or tensorrt_llm_bls"
            )
            yield case.use.warning(message, "with", "parameters", hint='triton: "24.11" or later')
            return
