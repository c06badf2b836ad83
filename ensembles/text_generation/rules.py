"""What makes no sense together, or not with this engine; a rule is a function that yields findings."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.ensembles.blueprint import Use
from tritonsmith.ensembles.text_generation.settings import Settings
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.inspect.engine import EngineFacts
from tritonsmith.generator.inspect.engine_source import SourceFacts


def findings(settings: Settings, source: SourceFacts | None, use: Use) -> Iterator[Finding]:
    """Yield every rule that the settings break with this release; `source` is None for an engine elsewhere."""
    yield from _one_postprocessing(settings, use)
    if isinstance(source, EngineFacts):
        yield from _batch_fits(settings, source, use)


def _one_postprocessing(settings: Settings, use: Use) -> Iterator[Finding]:
    """Behind a decoupled step, several instances answer in the order in which they finish (seen on Triton 2.51)."""
    count = settings.instances.postprocessing
    if settings.streaming and count > 1:
        message = f"{count} instances of postprocessing would reorder streamed tokens"
        hint = "1 instance; or streaming: false; more instances of tensorrt_llm_bls, which detokenises by itself"
        yield use.error(message, "with", "instances", "postprocessing", hint=hint)


def _batch_fits(settings: Settings, engine: EngineFacts, use: Use) -> Iterator[Finding]:
    asked, built = settings.max_batch_size or 0, engine.limits.max_batch_size
    if asked > built:
        message = f"max_batch_size {asked} is more than the engine was built for ({built})"
        yield use.error(message, "with", "max_batch_size", hint=f"at most {built}, or build the engine for more")
