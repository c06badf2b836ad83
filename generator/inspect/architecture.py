"""A language model's shape, and how it is spread over GPUs: the same names in an engine and in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from tritonsmith.generator.inspect.json_file import JsonObject


@dataclass(frozen=True)
class Architecture:
    """What a model is; 0 and "" where the file does not say. Types are TensorRT-LLM's: float16, bfloat16, float32."""

    name: str
    data_type: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    max_positions: int
    logits_type: str = "float32"
    quantisation: str = ""  # FP8, W4A16_AWQ, ...
    kv_cache_quantisation: str = ""  # INT8, FP8, ...
    tokens_per_expert: int = 0  # how many experts a token goes to; 0: no mixture of experts
    experts: int = 0


@dataclass(frozen=True)
class Spread:
    """How a model is spread: `world_size` GPUs, tensor- times pipeline- times context-parallel."""

    world_size: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    moe_tensor: int = 1
    moe_expert: int = 1
    gpus_per_node: int = 8


def read_architecture(found: JsonObject) -> Architecture:
    """Return the shape from a checkpoint's config.json, or from an engine's `pretrained_config`."""
    heads = found.whole("num_attention_heads", least=1)
    hidden = found.whole("hidden_size", least=1)
    quantisation, moe = found.below("quantization"), found.below("moe")
    return Architecture(
        name=found.text("architecture"),
        data_type=found.text("dtype"),
        vocab_size=found.whole("vocab_size", least=1),
        hidden_size=hidden,
        layers=found.whole("num_hidden_layers", least=1),
        heads=heads,
        kv_heads=found.whole("num_key_value_heads", heads, least=1),
        head_size=found.whole("head_size", hidden // heads, least=1),
        max_positions=found.whole("max_position_embeddings", 0),
        logits_type=found.text("logits_dtype", "float32", ("float32", "float16")),
        quantisation=quantisation.text("quant_algo", ""),
        kv_cache_quantisation=quantisation.text("kv_cache_quant_algo", ""),
        experts=moe.whole("num_experts", 0),
        tokens_per_expert=moe.whole("top_k", 0),
    )


MOST_RANKS = 4096  # a number beyond is a mistake, and as many files would be looked for


def read_spread(found: JsonObject) -> Spread:
    """Return how the model is spread, from the object `mapping`; products that do not fit are findings."""
    if found.whole("world_size", 1, least=1) > MOST_RANKS:
        found.refuse("world_size", f"at most {MOST_RANKS}")
        return Spread()
    spread = Spread(
        world_size=found.whole("world_size", 1, least=1),
        tensor=found.whole("tp_size", 1, least=1),
        pipeline=found.whole("pp_size", 1, least=1),
        context=found.whole("cp_size", 1, least=1),
        # -1 is written where nothing was asked for
        moe_tensor=max(1, found.whole("moe_tp_size", 1, least=-1)),
        moe_expert=max(1, found.whole("moe_ep_size", 1, least=-1)),
        gpus_per_node=found.whole("gpus_per_node", 8, least=1),
    )
    product = spread.tensor * spread.pipeline * spread.context
    if product != spread.world_size:
        sizes = f"tp_size {spread.tensor} x pp_size {spread.pipeline} x cp_size {spread.context}"
        found.complain(f"world_size is {spread.world_size}, but {sizes} are {product}", "world_size")
    return spread
