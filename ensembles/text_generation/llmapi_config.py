"""What model.yaml and config.pbtxt say of an llmapi model. Runs inside Triton."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .model_parameters import find_folder, flag, read_parameters
from .tokenizer_folder import TokenizerFolder, read_tokenizer

PARAMETERS = ("tokenizer_dir", "skip_special_tokens", "gpu_device_ids")
DEFAULT_BATCH = 8  # on the laptop; the LLM API has its own


@dataclass(frozen=True)
class Configuration:
    """The model, the arguments of LLM for it, and how text is made of its tokens."""

    model: Path
    arguments: Mapping[str, Any]
    tokenizer: TokenizerFolder
    skip_special_tokens: bool
    is_decoupled: bool
    cancellation_check_period_ms: int
    inputs: frozenset[str]
    outputs: frozenset[str]
    gpu_groups: tuple[str, ...] = ()

    def gpus_of(self, instance: str) -> str:
        """Return the GPUs of an instance, `chat_0_1` being the second; empty where it may take any."""
        if not self.gpu_groups:
            return ""
        found = re.search(r"_(\d+)\Z", instance)
        number = int(found[1]) if found else 0
        if number >= len(self.gpu_groups):
            raise ValueError(f"instance {number}: gpu_device_ids has {len(self.gpu_groups)} groups")
        return self.gpu_groups[number]

    def settings(self) -> dict[str, Any]:
        """Return what of the arguments the other engine takes too, under the engine backend's names."""
        cache = self.arguments.get("kv_cache_config") or {}
        policy = (self.arguments.get("scheduler_config") or {}).get("capacity_scheduler_policy")
        return {
            "engine": str(self.model),
            "max_batch_size": self.arguments.get("max_batch_size") or DEFAULT_BATCH,
            "is_decoupled": self.is_decoupled,
            "max_tokens_in_cache": cache.get("max_tokens"),
            "is_cache_reused": cache.get("enable_block_reuse", True),
            "is_context_chunked": self.arguments.get("enable_chunked_prefill"),
            # STATIC_BATCH waits for whole batches, which only costs time: left to the engine
            "scheduler_policy": policy.lower() if policy and policy != "STATIC_BATCH" else None,
        }


def read_configuration(config: Mapping[str, Any], model_folder: str, version: str) -> Configuration:
    """Return the configuration of a model.

    Raises: ValueError, naming the key, where it makes no sense.
    """
    folder = Path(model_folder)
    path = Path(os.environ.get("LLM_CONFIG_PATH") or folder / version / "model.yaml")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise ValueError(f"cannot read {path}: {problem}") from None
    if not isinstance(document, dict) or not isinstance(document.get("model"), str):
        raise ValueError(f"{path} names no model")  # noqa: TRY004 - a file of the user's
    triton = document.get("triton_config") or {}
    is_decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))
    if bool(triton.get("decoupled", False)) != is_decoupled:
        raise ValueError(
            f"decoupled is {bool(triton.get('decoupled', False))} in {path.name}'s triton_config and {is_decoupled} in "
            "config.pbtxt's model_transaction_policy: write the same in both"
        )
    if int(triton.get("max_batch_size", 0)) or int(config.get("max_batch_size", 0)):
        raise ValueError("max_batch_size of triton_config and config.pbtxt must be 0: a request is one prompt")
    texts = read_parameters(config, PARAMETERS)
    model = find_folder(document["model"], folder, version)
    arguments = {name: value for name, value in document.items() if name not in ("model", "tokenizer", "triton_config")}
    return Configuration(
        model=model,
        arguments=arguments,
        tokenizer=read_tokenizer(find_folder(texts.get("tokenizer_dir", str(model)), folder, version)),
        skip_special_tokens=flag(texts, "skip_special_tokens", default=True),
        is_decoupled=is_decoupled,
        cancellation_check_period_ms=int(triton.get("cancellation_check_period_ms", 100)),
        inputs=frozenset(tensor["name"] for tensor in config.get("input", [])),
        outputs=frozenset(tensor["name"] for tensor in config.get("output", [])),
        gpu_groups=tuple(texts["gpu_device_ids"].split(";")) if "gpu_device_ids" in texts else (),
    )
