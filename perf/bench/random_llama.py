"""A Llama with random weights as a Hugging Face folder: for speed, not for sense."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dimensions:
    """The model of the benchmarks: 4.0 M parameters."""

    layers: int = 4
    hidden: int = 256
    heads: int = 8
    kv_heads: int = 4
    intermediate: int = 704
    vocab: int = 2048
    positions: int = 1024


def write_llama(folder: Path, dimensions: Dimensions, *, spread: float = 0.08) -> Path:
    """Write config.json and model.safetensors into a folder and return it; `spread` is that of the weights."""
    size = dimensions.hidden // dimensions.heads
    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": dimensions.layers,
        "hidden_size": dimensions.hidden,
        "num_attention_heads": dimensions.heads,
        "num_key_value_heads": dimensions.kv_heads,
        "intermediate_size": dimensions.intermediate,
        "vocab_size": dimensions.vocab,
        "max_position_embeddings": dimensions.positions,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
    }
    hidden, narrow, inner = dimensions.hidden, dimensions.kv_heads * size, dimensions.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens": (dimensions.vocab, hidden),
        "model.norm": (hidden,),
    }
    for layer in range(dimensions.layers):
        for name, shape in (
            ("input_layernorm", (hidden,)),
            ("self_attn.q_proj", (hidden, hidden)),
            ("self_attn.k_proj", (narrow, hidden)),
            ("self_attn.v_proj", (narrow, hidden)),
            ("self_attn.o_proj", (hidden, hidden)),
            ("post_attention_layernorm", (hidden,)),
            ("mlp.gate_proj", (inner, hidden)),
            ("mlp.up_proj", (inner, hidden)),
            ("mlp.down_proj", (hidden, inner)),
        ):
            shapes[f"model.layers.{layer}.{name}"] = shape
    random = np.random.default_rng(0)
    tensors = {
        f"{name}.weight": random.normal(float(len(shape) == 1), spread, shape).astype(np.float32)
        for name, shape in shapes.items()
    }  # norms are around 1
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_packed(tensors))
    return folder


def _packed(tensors: dict[str, Weights]) -> bytes:
    """Source: https://github.com/huggingface/safetensors#format."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(tensor.tobytes() for tensor in tensors.values())
