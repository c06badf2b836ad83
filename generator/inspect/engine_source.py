"""What a pipeline's `engine` names: an engine, a TensorRT-LLM checkpoint, or a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.checkpoint import CheckpointFacts, is_checkpoint, read_checkpoint
from tritonsmith.generator.inspect.engine import EngineFacts, is_engine, read_engine
from tritonsmith.generator.inspect.huggingface import HuggingFaceFacts, is_huggingface, read_huggingface
from tritonsmith.generator.inspect.json_file import read_json

SourceFacts = EngineFacts | CheckpointFacts | HuggingFaceFacts
_HINT = "name a folder with config.json: an engine (rank0.engine), a TensorRT-LLM checkpoint, or a Hugging Face model"


def read_engine_source(folder: Path) -> SourceFacts:
    """Return what a folder holds; what is wrong with it is in the facts' findings.

    Raises: SpecError where it holds none of the three.
    """
    if (folder / "decoder" / "config.json").exists() and not (folder / "config.json").exists():
        return read_engine(folder)
    found = read_json(folder / "config.json", "config.json", hint=_HINT)
    if is_engine(found):
        return read_engine(folder)
    if is_checkpoint(found):
        return read_checkpoint(folder)
    if is_huggingface(found):
        return read_huggingface(folder)
    raise SpecError(
        "config.json is neither an engine's (build_config), nor a checkpoint's (architecture), nor a Hugging Face "
        "model's (architectures)",
        where=str(found.path),
        hint=_HINT,
    )
