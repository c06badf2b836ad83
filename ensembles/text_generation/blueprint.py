"""Blueprint `text_generation`: text in, text out, token by token, around TensorRT-LLM."""

from __future__ import annotations

from typing import Any

from tritonsmith.ensembles.blueprint import Blueprint, Use
from tritonsmith.ensembles.text_generation import rules
from tritonsmith.ensembles.text_generation.backend_parameters import first_release
from tritonsmith.ensembles.text_generation.engine_script import option_problems
from tritonsmith.ensembles.text_generation.llmapi_target import expand_llmapi
from tritonsmith.ensembles.text_generation.llms import llms_of
from tritonsmith.ensembles.text_generation.models import Pipeline
from tritonsmith.ensembles.text_generation.places import place_tokenizer, tokenizer_findings
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.catalog.releases import NEWEST_WITH_TENSORRT_LLM
from tritonsmith.generator.catalog.tensorrtllm.llmapi import MAIN
from tritonsmith.generator.catalog.tensorrtllm.tensors import ENCODER, LOGITS, PROMPT
from tritonsmith.generator.catalog.tensorrtllm.versions import OLDEST, Version, parse_version
from tritonsmith.generator.findings import Finding

ROLES = (
    "preprocessing",
    "tensorrt_llm",
    "tensorrt_llm_draft",
    "context",
    "generation",
    "disaggregated_serving_bls",
    "postprocessing",
    "tensorrt_llm_bls",
    "ensemble",
)
DEFAULT_BATCH = 8


def expand(settings: Settings, use: Use) -> dict[str, Any]:
    """Return the pipeline's models for the release; nothing where the release or the engine makes that impossible."""
    version = parse_version(use.release.tensorrt_llm)
    if settings.target == "llmapi":
        is_newer = not use.release.tensorrt_llm and use.release.name > NEWEST_WITH_TENSORRT_LLM
        return expand_llmapi(settings, use, MAIN if is_newer else version)
    if settings.llm:
        use.findings.append(use.error("'llm' is for target llmapi", "with", "llm", hint="parameters: {...}"))
    if refusal := _refusal(use, version):
        use.findings.append(refusal)
        return {}
    llms = llms_of(settings, use, version)
    if not llms:
        return {}
    facts = llms[0].facts
    pipeline = Pipeline(
        settings=settings,
        version=version,
        release=use.release,
        names=use.names,
        types={
            LOGITS: settings.logits_datatype or facts.logits_datatype,
            ENCODER: settings.encoder_input_features_data_type or facts.encoder_datatype,
            PROMPT: settings.prompt_embedding_table_data_type or facts.data_type,
        },
        max_batch_size=settings.max_batch_size or facts.max_batch_size or DEFAULT_BATCH,
        llms={llm.role: llm for llm in llms},
        tokenizer=place_tokenizer(settings, use),
    )
    use.findings.extend(tokenizer_findings(settings, use))
    use.findings.extend(rules.findings(rules.Case(settings, use, version, llms, pipeline.max_batch_size)))
    # a wrong option of a build cannot be written down
    return pipeline.models() if not list(option_problems(settings.build.options)) else {}


def _refusal(use: Use, version: Version) -> Finding | None:
    """Return why the release serves no engine, None where it does."""
    name, newest = use.release.name, NEWEST_WITH_TENSORRT_LLM
    if name > newest:
        message = f"Triton {name} serves no TensorRT-LLM engine: its C++ backend was removed in July 2026"
        hint = (
            f'target: llmapi, which generates from the model itself; or triton: "{newest}", the last with the backend'
        )
        return use.error(message, "with", "target", hint=hint)
    if version < OLDEST:
        first = first_release(".".join(map(str, OLDEST)))
        message = f"the models for Triton {name} (TensorRT-LLM {use.release.tensorrt_llm or 'unknown'}) are not known"
        return use.error(message, "with", "target", hint=f'triton: "{first}" or later')
    return None


BLUEPRINT = Blueprint(
    name="text_generation",
    summary="Text in, text out, token by token, around TensorRT-LLM.",
    settings=Settings,
    roles=ROLES,
    expand=expand,
    takes_engine=True,
)
