"""A folder and settings -> an LLM object."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..base import Limits
from ..wire.parameters import Settings, SettingsError
from .engine import LlmEngine


def open_llm(folder: Path, settings: Settings) -> LlmEngine:
    """Return an engine on a TensorRT-LLM engine, or on a Hugging Face folder.

    Raises: SettingsError where the folder holds neither, or this TensorRT-LLM does not serve it.
    """
    if settings.gpu_device_ids:  # before the import: CUDA looks once
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, settings.gpu_device_ids))
    config = _read_config(folder)
    limits = read_limits(config, settings)
    api = import_module("tensorrt_llm.llmapi")
    llm = _llm_class(config, folder)(**llm_arguments(folder, config, limits, settings, api))
    return LlmEngine(llm, import_module("tensorrt_llm").SamplingParams, limits)


def read_limits(config: Mapping[str, Any], settings: Settings) -> Limits:
    """Return the limits of an engine's config.json (what it was built for), or of a Hugging Face one."""
    if "build_config" in config:
        build = config["build_config"]
        longest, prompt = build["max_seq_len"], build["max_input_len"]
        vocabulary = config["pretrained_config"]["vocab_size"]
    else:
        text = config.get("text_config", config)
        longest = prompt = text["max_position_embeddings"]
        vocabulary = text["vocab_size"]
    return Limits(settings.max_batch_size, longest, prompt, vocabulary, settings.max_queue_size)


def llm_arguments(
    folder: Path, config: Mapping[str, Any], limits: Limits, settings: Settings, api: Any
) -> dict[str, Any]:
    """Return the arguments of `LLM`; `api` is the module tensorrt_llm.llmapi, which has the classes of some."""
    cache = {
        "enable_block_reuse": settings.is_cache_reused,
        "max_tokens": settings.max_tokens_in_cache,
        "free_gpu_memory_fraction": settings.free_gpu_memory_fraction,
        "host_cache_size": settings.host_cache_bytes,
        "max_attention_window": None if settings.attention_window is None else list(settings.attention_window),
        "sink_token_length": settings.sink_token_length,
    }
    arguments: dict[str, Any] = {
        "model": str(folder),
        "skip_tokenizer_init": True,
        "max_batch_size": limits.max_batch_size,
        "kv_cache_config": api.KvCacheConfig(**{name: value for name, value in cache.items() if value is not None}),
        "tensor_parallel_size": len(settings.gpu_device_ids) or 1,
        "enable_chunked_prefill": bool(settings.is_context_chunked),
    }
    if settings.scheduler_policy is not None:
        policy = api.CapacitySchedulerPolicy[settings.scheduler_policy.upper()]
        arguments["scheduler_config"] = api.SchedulerConfig(capacity_scheduler_policy=policy)
    if "build_config" in config:  # an engine was built for so many GPUs and such lengths
        mapping = config["pretrained_config"]["mapping"]
        arguments["tensor_parallel_size"] = mapping["tp_size"]
        arguments["pipeline_parallel_size"] = mapping["pp_size"]
    else:
        arguments["max_seq_len"] = limits.max_seq_len
        arguments["enable_iter_perf_stats"] = True
        arguments["return_perf_metrics"] = True
    return arguments


def _llm_class(config: Mapping[str, Any], folder: Path) -> Any:
    """Return the LLM class for what the folder holds.

    Source: TensorRT-LLM: `LLM` loads engines up to 0.21; `_tensorrt_engine.LLM` does in 1.0 to 1.2; then nothing.
    """
    package = import_module("tensorrt_llm")
    if "build_config" not in config:
        return package.LLM
    if find_spec("tensorrt_llm._tensorrt_engine") is not None:
        return import_module("tensorrt_llm._tensorrt_engine").LLM
    if package.__version__.startswith("0."):
        return package.LLM
    raise SettingsError(
        f"{folder} holds a TensorRT engine, which TensorRT-LLM {package.__version__} no longer serves: "
        "use a release up to 26.07 of NVIDIA's container, or name the Hugging Face folder"
    )


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except FileNotFoundError:
        raise SettingsError(f"{folder} has no config.json: it is neither an engine nor a Hugging Face folder") from None
    if not ("build_config" in config or "vocab_size" in config.get("text_config", config)):
        raise SettingsError(f"{folder / 'config.json'} is neither an engine's nor a Hugging Face model's")
    return config
