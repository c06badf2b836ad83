"""What engine.sh builds."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.text_generation.engine_script import option_problems
from tritonsmith.ensembles.text_generation.rules.registry import Case, rule
from tritonsmith.generator.findings import Finding


@rule("TL080", "trtllm-build knows the options it is given")
def options_are_known(case: Case) -> Iterator[Finding]:
    """A build takes minutes to hours; a misspelt option ends it at once, or after the checkpoint was converted."""
    for name, message, hint in option_problems(case.settings.build.options):
        yield case.use.error(message, "with", "build", "options", name, hint=hint)


@rule("TL081", "what is built is not built yet")
def engines_are_built_already(case: Case) -> Iterator[Finding]:
    """Settings of a build would not change an engine that is there."""
    for llm in case.llms:
        is_built = llm.facts.engine is not None or llm.facts.is_exported
        if is_built and llm.facts.source and case.settings.build != type(case.settings.build)():
            message = f"'build' changes nothing: {llm.facts.source.path.name} is an engine already"
            yield case.use.warning(message, "with", "build", hint="leave it out, or name the model it is built from")


@rule("TL082", "a checkpoint is spread and quantised already")
def checkpoints_are_converted_already(case: Case) -> Iterator[Finding]:
    """Both are done when a checkpoint is made of a model."""
    build = case.settings.build
    for llm in case.llms:
        asked = [name for name in ("quantise", "kv_cache") if getattr(build, name) is not None]
        asked += [name for name in ("tensor_parallel", "pipeline_parallel") if getattr(build, name) > 1]
        if llm.facts.kind == "checkpoint" and asked:
            message = f"'{asked[0]}' cannot be changed: a checkpoint is made with it ({llm.facts.says('mapping')})"
            yield case.use.error(message, "with", "build", asked[0], hint="name the Hugging Face folder instead")


@rule("TL083", "a KV cache is quantised by what quantises the weights")
def caches_are_quantised_with_weights(case: Case) -> Iterator[Finding]:
    """An FP8 cache is calibrated by quantize.py, which runs for the formats of ModelOpt alone."""
    build = case.settings.build
    if build.kv_cache == "fp8" and build.quantise in (None, "int8_wo", "int4_wo"):
        message = f"kv_cache fp8 needs a format of ModelOpt; quantise is {build.quantise or 'not given'}"
        yield case.use.error(message, "with", "build", "kv_cache", hint="quantise: fp8")
