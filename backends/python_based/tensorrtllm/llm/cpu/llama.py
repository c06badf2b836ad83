"""What a Llama is, read from a Hugging Face config.json; what the graph cannot express is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import EngineError

Angles = npt.NDArray[np.float32]
CONFIG = "config.json"
ARCHITECTURE = "LlamaForCausalLM"
# Settings that change the computation, and the only values that the graph computes.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", None),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "sliding_window": (None,),
    "partial_rotary_factor": (1.0, None),
    "quantization_config": (None,),
}


@dataclass(frozen=True)
class Rope:
    """Rotary embedding: the base, and how its frequencies are scaled for longer contexts."""

    theta: float = 10000.0
    kind: str = "default"  # default, linear, llama3
    factor: float = 1.0
    low_freq_factor: float = 1.0  # these three: llama3
    high_freq_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class Llama:
    """The dimensions of a LlamaForCausalLM."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocab: int
    positions: int
    epsilon: float
    rope: Rope
    is_tied: bool  # the output projection is the embedding


def read_llama(folder: Path) -> Llama:
    """Return the dimensions that a folder's config.json gives.

    Raises: EngineError for another architecture, a setting that the CPU engine does not compute, or a missing one.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise EngineError(f"{path}: cannot be read ({problem})") from None
    if not isinstance(config, dict):
        raise EngineError(f"{path}: a JSON object is wanted")
    _refuse_the_unknown(path, config)
    heads, hidden = _number(path, config, "num_attention_heads"), _number(path, config, "hidden_size")
    head_size = int(config.get("head_dim") or hidden // heads)
    llama = Llama(
        layers=_number(path, config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_size=head_size,
        intermediate=_number(path, config, "intermediate_size"),
        vocab=_number(path, config, "vocab_size"),
        positions=_number(path, config, "max_position_embeddings"),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope=_rope(path, config),
        is_tied=bool(config.get("tie_word_embeddings", False)),
    )
    if llama.heads % llama.kv_heads:
        raise EngineError(f"{path}: {llama.heads} attention heads are no multiple of {llama.kv_heads} key-value heads")
    if head_size % 8:  # Source: onnxruntime group_query_attention_helper.h, CheckInputs
        raise EngineError(f"{path}: head size {head_size}; ONNX Runtime's attention takes multiples of 8")
    return llama


def rotary_angles(llama: Llama, length: int) -> tuple[Angles, Angles]:
    """Return cosines and sines, each [length, head_size / 2], as transformers computes them (in fp32)."""
    exponents = np.arange(0, llama.head_size, 2, dtype=np.float32) / np.float32(llama.head_size)
    frequencies = (np.float32(1) / np.float32(llama.rope.theta) ** exponents).astype(np.float32)
    angles = np.outer(np.arange(length, dtype=np.float32), _scaled(frequencies, llama.rope)).astype(np.float32)
    return np.cos(angles), np.sin(angles)


def _scaled(frequencies: Angles, rope: Rope) -> Angles:
    """Source: transformers, modeling_rope_utils.py (_compute_linear_scaling_..., _compute_llama3_parameters)."""
    if rope.kind == "linear":
        return (frequencies / np.float32(rope.factor)).astype(np.float32)
    if rope.kind != "llama3":
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    share = (rope.original_positions / wavelengths - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    share = np.clip(share, 0, 1)  # 0: a long wave, slowed down in full; 1: a short one, kept
    return ((1 - share) * frequencies / rope.factor + share * frequencies).astype(np.float32)


def _rope(path: Path, config: Mapping[str, Any]) -> Rope:
    """Read `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before)."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, dict):
        raise EngineError(f"{path}: rope_parameters {given}: an object is wanted")
    kind = str(given.get("rope_type") or given.get("type") or "default")
    if kind not in ("default", "linear", "llama3"):
        raise EngineError(f"{path}: rope scaling '{kind}'; the CPU engine computes default, linear, llama3")
    if given.get("partial_rotary_factor", 1.0) != 1.0:
        raise EngineError(f"{path}: partial_rotary_factor {given['partial_rotary_factor']}; the CPU engine computes 1")
    try:
        return Rope(
            theta=float(given.get("rope_theta") or config.get("rope_theta") or 10000.0),
            kind=kind,
            factor=float(given.get("factor", 1.0)),
            low_freq_factor=float(given.get("low_freq_factor", 1.0)),
            high_freq_factor=float(given.get("high_freq_factor", 4.0)),
            original_positions=int(given.get("original_max_position_embeddings", 8192)),
        )
    except (TypeError, ValueError) as problem:
        raise EngineError(f"{path}: rope settings {given}: {problem}") from None


def _refuse_the_unknown(path: Path, config: Mapping[str, Any]) -> None:
    architectures = config.get("architectures") or []
    if architectures != [ARCHITECTURE]:
        named = ", ".join(map(str, architectures)) or "none"
        raise EngineError(f"{path}: architecture {named}; the CPU engine computes {ARCHITECTURE}")
    for name, computed in _FIXED.items():
        if config.get(name) not in computed:
            raise EngineError(f"{path}: {name} {config[name]}; the CPU engine computes {computed[0]}")


def _number(path: Path, config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise EngineError(f"{path}: {name} {value}: a number from 1 is wanted")
    return value
