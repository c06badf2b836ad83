"""What a pipeline must know of an engine: read from the config.json of its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["engine", "checkpoint", "huggingface", "elsewhere"]

# The tokenizer's files by the names that Hugging Face gives them, and what says which ids end a text.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")

_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "bfloat16": "TYPE_BF16"}


@dataclass(frozen=True)
class Facts:
    """The engine's limits and types, 0 or the default where it does not say."""

    kind: Kind = "elsewhere"
    max_batch_size: int = 0
    logits_datatype: str = "TYPE_FP32"
    data_type: str = "TYPE_FP16"


def read_facts(folder: Path | None) -> Facts:
    """Return the facts of an engine's folder; those of a folder that is not here are the defaults.

    Raises: ValueError where config.json is missing or holds no model.
    """
    if folder is None:
        return Facts()
    config = _read_config(folder / "config.json")
    model = config.get("pretrained_config", config)
    build = config.get("build_config", {})
    if "pretrained_config" in config:
        kind: Kind = "engine"
    elif "mapping" in config and "architecture" in config:
        kind = "checkpoint"
    elif "architectures" in config or "model_type" in config:
        kind = "huggingface"
    else:
        raise ValueError(f"{folder / 'config.json'} is neither an engine's, nor a checkpoint's, nor Hugging Face's")
    data_type = model.get("dtype", model.get("torch_dtype", "float16"))
    return Facts(
        kind=kind,
        max_batch_size=int(build.get("max_batch_size", 0)),
        logits_datatype=_TYPES.get(model.get("logits_dtype", "float32"), "TYPE_FP32"),
        data_type=_TYPES.get(data_type, "TYPE_FP16"),
    )


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the tokenizer's files in a folder; none where there is no vocabulary."""
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        return []
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    except ValueError as problem:
        raise ValueError(f"{path} is not JSON: {problem}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no mapping")  # noqa: TRY004 - a value of the user's
    return config
