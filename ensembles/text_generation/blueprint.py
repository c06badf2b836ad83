"""Blueprint `text_generation`: text in, text out, token by token, around TensorRT-LLM."""

from __future__ import annotations

from typing import Any

from tritonsmith.ensembles.blueprint import Blueprint, Use
from tritonsmith.ensembles.text_generation import rules
from tritonsmith.ensembles.text_generation.backend_parameters import ParameterReader, first_release
from tritonsmith.ensembles.text_generation.models import Pipeline
from tritonsmith.ensembles.text_generation.places import place_engine, place_tokenizer, tokenizer_findings
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.catalog.tensorrtllm.tensors import ENCODER, LOGITS, PROMPT
from tritonsmith.generator.catalog.tensorrtllm.versions import OLDEST, Version, parse_version
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.engine import EngineFacts
from tritonsmith.generator.inspect.engine_source import SourceFacts, read_engine_source
from tritonsmith.generator.spec.document import Engine

ROLES = ("preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls", "ensemble")
DEFAULT_BATCH = 8
# TensorRT-LLM's types and Triton's
TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "bfloat16": "TYPE_BF16"}


def expand(settings: Settings, use: Use) -> dict[str, Any]:
    """Return the pipeline's models for the release; nothing where the release or the engine makes that impossible."""
    version = parse_version(use.release.tensorrt_llm)
    refusal = _refusal(settings, use, version)
    if refusal is not None or use.engine is None:
        use.findings.extend([refusal] if refusal else _no_engine(use))
        return {}
    try:
        source = read_engine_source(use.engine.path) if use.engine.path else None
    except SpecError as problem:
        use.findings.extend(
            problem.findings or [use.error(f"{problem.where}: {problem.message}", "engine", hint=problem.hint)]
        )
        return {}
    reader = ParameterReader(use, version)
    use.findings.extend(source.findings if source else ())
    use.findings.extend(reader.findings(settings.parameters))
    use.findings.extend(tokenizer_findings(settings, use))
    use.findings.extend(rules.findings(settings, source, use))
    return _pipeline(settings, source, use, use.engine, reader).models()


def _pipeline(
    settings: Settings, source: SourceFacts | None, use: Use, engine: Engine, reader: ParameterReader
) -> Pipeline:
    shape = source.architecture if source else None
    built = source.limits.max_batch_size if isinstance(source, EngineFacts) else DEFAULT_BATCH
    return Pipeline(
        settings=settings,
        version=reader.version,
        names=use.names,
        types={
            LOGITS: settings.logits_datatype or TYPES[shape.logits_type if shape else "float32"],
            ENCODER: settings.encoder_input_features_data_type,
            PROMPT: settings.prompt_embedding_table_data_type
            or TYPES.get(shape.data_type if shape else "", "TYPE_FP16"),
        },
        max_batch_size=settings.max_batch_size or built,
        parameters=reader.values(settings.parameters),
        engine=place_engine(engine, use.names["tensorrt_llm"]),
        tokenizer=place_tokenizer(settings, use),
    )


def _refusal(settings: Settings, use: Use, version: Version) -> Finding | None:
    """Return why the release cannot serve the target, None where it can."""
    if settings.target == "llmapi":
        return use.error("target llmapi is not written yet", "with", "target", hint="target: tensorrtllm")
    name = use.release.name
    newest = max(release.name for release in RELEASES.values() if release.tensorrt_llm)
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


def _no_engine(use: Use) -> list[Finding]:
    hint = "engine: ./folder, of an engine, a checkpoint or a Hugging Face model"
    is_told = "engine" in use.tree.entries  # what is wrong with it
    return [] if is_told else [use.error("the pipeline has no engine", hint=hint)]


BLUEPRINT = Blueprint(
    name="text_generation",
    summary="Text in, text out, token by token, around TensorRT-LLM.",
    settings=Settings,
    roles=ROLES,
    expand=expand,
    takes_engine=True,
)
