"""A Llama with random weights as a Hugging Face folder: for what measures or shakes engines, not for reading."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

EMBEDDING_SCALE = 0.5  # larger than the rest, so that the next token depends on the last ones
WEIGHT_SCALE = 0.08


def write_random_llama(
    folder: Path, *, layers: int = 4, hidden: int = 256, vocab: int = 2048, context: int = 1024, seed: int = 0
) -> Path:
    """Write config.json and model.safetensors (fp32), and return the folder; the defaults make 4.0 M parameters."""
    heads, kv_heads, inner = 8, 4, hidden * 11 // 4
    wide, narrow = hidden, hidden * kv_heads // heads
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    for layer in range(layers):
        place = f"model.layers.{layer}"
        shapes |= {f"{place}.self_attn.{name}_proj.weight": (wide if name == "q" else narrow, hidden) for name in "qkv"}
        shapes[f"{place}.self_attn.o_proj.weight"] = (hidden, wide)
        shapes |= {f"{place}.mlp.{name}_proj.weight": (inner, hidden) for name in ("gate", "up")}
        shapes[f"{place}.mlp.down_proj.weight"] = (hidden, inner)
        shapes |= {f"{place}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_safetensors(shapes, seed))
    return folder


def _safetensors(shapes: dict[str, tuple[int, ...]], seed: int) -> bytes:
    """Return the tensors in Hugging Face's form: the length of a JSON header, the header, the data."""
    values = np.random.default_rng(seed)
    header, data = {}, bytearray()
    for name, shape in shapes.items():
        scale = EMBEDDING_SCALE if "embed" in name else WEIGHT_SCALE
        array = np.ones(shape) if len(shape) == 1 else values.standard_normal(shape) * scale
        piece = array.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)
