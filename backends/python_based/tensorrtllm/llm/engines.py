"""Which engine answers: TensorRT-LLM's LLM API where it is installed, ONNX Runtime elsewhere; only one is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .base import Engine
from .wire.parameters import Settings, SettingsError


def has_tensorrt_llm() -> bool:
    """Return whether the package `tensorrt_llm` is installed; it is not imported."""
    return find_spec("tensorrt_llm") is not None


def open_engine(folder: Path, settings: Settings) -> Engine:
    """Return the engine of a folder, loaded.

    Raises: ValueError saying what in the folder or the settings cannot be served.
    """
    if has_tensorrt_llm():
        from .llmapi import open_llm

        return open_llm(folder, settings)
    _refuse_engine(folder)
    from .cpu import Options, load_engine

    asked = {
        "max_tokens_in_cache": settings.max_tokens_in_cache,
        "enable_chunked_context": settings.is_context_chunked,
        "enable_kv_cache_reuse": settings.is_cache_reused,
        "scheduler_policy": settings.scheduler_policy,
        "threads": settings.threads,
    }
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return load_engine(
        folder, Options(max_batch_size=settings.max_batch_size, max_queue_size=settings.max_queue_size, **given)
    )


def _refuse_engine(folder: Path) -> None:
    if any(folder.glob("rank*.engine")):
        raise SettingsError(
            f"{folder} holds a TensorRT-LLM engine, which needs NVIDIA's container and a GPU "
            "(tritonsmith serve --container); without them name the Hugging Face folder"
        )
