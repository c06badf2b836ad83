"""Which language models are understood, by the `model_type` of their config.json, and how their layers are built."""

from __future__ import annotations

from dataclasses import dataclass

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.inspect.json_file import JsonObject
from tritonsmith.generator.suggest import did_you_mean


@dataclass(frozen=True)
class ModelType:
    """What a type's layers have in common, where config.json leaves it to the code that reads it."""

    matrices: int = 3  # of a feed-forward part: 3 where it is gated, else 2
    is_tied: bool = False  # one table for input and output, unless `tie_word_embeddings` says otherwise
    is_mla: bool = False
    has_gated_output: bool = False  # the query's projection makes a gate too
    positions: str = ""  # the key that says how many rows a learned table of positions has
    window_every: int = 0  # all layers but each so many-th have a window
    has_single_layers: bool = False  # a layer attends, keeps a state or feeds forward, never two of them


_PLAIN, _TIED, _UNGATED = ModelType(), ModelType(is_tied=True), ModelType(matrices=2)
_LATENT, _DELTA = ModelType(is_mla=True), ModelType(has_gated_output=True)

# Source: huggingface/transformers: models/*/modeling_*.py and configuration_*.py; of Nemotron-H the model's own files.
MODEL_TYPES = {
    **dict.fromkeys(("llama", "mistral", "ministral", "mixtral", "phi3", "olmo2", "granite", "exaone"), _PLAIN),
    **dict.fromkeys(("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gpt_oss", "minimax_m2", "seed_oss"), _PLAIN),
    **dict.fromkeys(("qwen3_vl_text", "qwen3_vl_moe_text", "mimo"), _PLAIN),
    **dict.fromkeys(("llama4_text", "glm4", "glm4_moe", "internlm2", "stablelm", "jamba"), _PLAIN),
    **dict.fromkeys(("gemma", "cohere"), _TIED),
    "gemma2": ModelType(is_tied=True, window_every=2),
    "gemma3_text": ModelType(is_tied=True, window_every=6),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm_moe_dsa"), _LATENT),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), _DELTA),
    **dict.fromkeys(("gpt_neox", "gptj", "phi", "nemotron"), _UNGATED),
    "nemotron_h": ModelType(matrices=2, has_single_layers=True),
    **dict.fromkeys(("falcon", "bloom", "starcoder2"), ModelType(matrices=2, is_tied=True)),
    "gpt2": ModelType(matrices=2, is_tied=True, positions="n_positions"),
    "gpt_bigcode": ModelType(matrices=2, is_tied=True, positions="n_positions"),
    "opt": ModelType(matrices=2, is_tied=True, positions="max_position_embeddings"),
}

# A checkpoint's or engine's `architecture` as Hugging Face's type.
# Source: TensorRT-LLM: models/__init__.py (MODEL_MAP).
ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mixtral",
    "QWenForCausalLM": "qwen2",
    "Qwen2ForCausalLM": "qwen2",
    "GemmaForCausalLM": "gemma",
    "Phi3ForCausalLM": "phi3",
    "PhiForCausalLM": "phi",
    "FalconForCausalLM": "falcon",
    "BloomForCausalLM": "bloom",
    "OPTForCausalLM": "opt",
    "GPTForCausalLM": "gpt2",
    "GPTJForCausalLM": "gptj",
    "GPTNeoXForCausalLM": "gpt_neox",
    "NemotronForCausalLM": "nemotron",
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v3",
}

# What changes a layer's shape in a way that no row above knows.
_FOREIGN = (
    "block_configs",
    "compress_ratios",
    "cross_attention_layers",
    "global_head_dim",
    "hidden_size_per_layer_input",
    "is_encoder_decoder",
    "num_kv_shared_layers",
)


def type_of(config: JsonObject) -> ModelType:
    """Return how a config.json's layers are built.

    Raises: SpecError where its type is not understood, or a key changes its layers in a way that is not.
    """
    name = config.text("model_type", "") or ARCHITECTURES.get(config.text("architecture", ""), "")
    if name not in MODEL_TYPES:
        key, value = next(((k, config.text(k, "")) for k in ("model_type", "architecture") if k in config), ("", ""))
        found = f"a model of type '{value}' is not understood.{did_you_mean(value, MODEL_TYPES)}"
        raise refused(config, key or "model_type", found if key else "the key is missing")
    for key in _FOREIGN:
        if config.values.get(key):
            raise refused(config, key, "the key changes the layers in a way that is not understood")
    return MODEL_TYPES[name]


def refused(config: JsonObject, key: str, message: str) -> SpecError:
    """Return the error that tells which key of a model is not understood."""
    place = ".".join(part for part in (config.key, key) if part)
    hint = "a fleet (plan --pack) takes its measured memory instead"
    if key == "model_type":
        hint = f"understood are {', '.join(sorted(MODEL_TYPES))}"
    return SpecError(message, where=f"{config.path}: {place}", hint=hint)
