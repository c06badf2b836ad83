"""Models around TensorRT-LLM: what its backend reads, what the models between them say alike, how they are started.

`llms`: what is known of an LLM and its callers. Then rules by subject: templates, between_models, engine_fit, kv_cache,
speculation, deployment, llmapi (TS700 to TS799).
"""

from tritonsmith.generator.checks.rules.llm import (
    between_models,
    deployment,
    engine_fit,
    kv_cache,
    llmapi,
    speculation,
    templates,
)

__all__ = ["between_models", "deployment", "engine_fit", "kv_cache", "llmapi", "speculation", "templates"]
