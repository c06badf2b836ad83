"""A decoder's layers, one by one, from its config.json: what each keeps for a token, and how many parameters it has."""

from __future__ import annotations

from dataclasses import dataclass

from tritonsmith.generator.inspect.json_file import JsonObject
from tritonsmith.perf.plan.core import LayerGroup
from tritonsmith.perf.plan.models.types import ModelType, refused

_NAMES = {  # of a layer, as config.json's `layer_types` says it, and Nemotron-H's pattern
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "window",
    "chunked_attention": "window",
    "linear_attention": "delta",
    "deepseek_sparse_attention": "full",
    "mamba": "mamba2",
    "mlp": "dense",
    "moe": "experts",
    "*": "full",
    "M": "mamba2",
    "-": "dense",
    "E": "experts",
}
MOST_LAYERS = 10_000
# Keys that say the same, the first of each is the one that is missed.
HEADS = ("num_attention_heads", "n_head")
KV_HEADS = ("num_key_value_heads", "num_kv_heads")
HEAD_SIZES = ("head_dim", "head_size", "attention_head_dim")
_LISTS = ("layers_block_type", "layer_types")
# Keys of sparse attention's index are in 8 bits, with a scale of 32 for each: 132 B of a token in a layer.
# Source: sgl-project/sglang pull request 11309; TensorRT-LLM: _torch/attention_backend/sparse/dsa.py
_INDEX_SCALE_BYTES = 4
STATE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Layer:
    """One layer: what every token is multiplied with is in `parameters`, routed experts in `expert_parameters`."""

    kept: LayerGroup
    parameters: int
    expert_parameters: int = 0
    width: int = 0  # of the feed-forward part that one token goes through


@dataclass(frozen=True)
class Sizes:
    """The numbers of a config.json that all layers share."""

    hidden: int
    heads: int
    kv_heads: int
    head: int
    dense: int  # width of a dense feed-forward part
    expert: int  # width of one routed expert
    shared: int  # width of the experts that every token goes to
    experts: int
    experts_per_token: int
    latent: int = 0  # what routed experts read and write, where it is not `hidden`


def first_of(config: JsonObject, *names: str, default: int | None = None, least: int = 0) -> int:
    """Return the first of several keys that is there; the absence of the first is told where there is no default."""
    present = [name for name in names if name in config]
    return config.whole(present[0] if present else names[0], default, least=least)


def read_sizes(config: JsonObject) -> Sizes:
    """Return the shared sizes; what is missing is added to the file's findings."""
    hidden = first_of(config, "hidden_size", "n_embd", "n_embed", least=1)
    heads = first_of(config, *HEADS, least=1)
    dense = first_of(config, "intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden)
    moe = config.below("moe")  # a checkpoint's or engine's
    experts = moe.whole("num_experts", 0) or first_of(
        config, "num_local_experts", "num_experts", "n_routed_experts", default=0
    )
    expert = first_of(config, "moe_intermediate_size", "intermediate_size", default=dense)
    return Sizes(
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(config, heads),
        head=first_of(config, *HEAD_SIZES, default=hidden // heads),
        dense=dense,
        expert=expert,
        shared=_shared_width(config, expert),
        experts=experts,
        experts_per_token=moe.whole("top_k", 0)
        or first_of(config, "num_experts_per_tok", "experts_per_token", default=0),
        latent=config.whole("moe_latent_size", 0),
    )


def _kv_heads(config: JsonObject, heads: int) -> int:
    if config.flag("multi_query") and not config.flag("new_decoder_architecture"):
        return 1
    return first_of(config, *KV_HEADS, default=heads, least=1)


def _shared_width(config: JsonObject, expert: int) -> int:
    """Return the width of all shared experts together."""
    if config.text("model_type", "") == "llama4_text":
        return expert
    each = first_of(
        config, "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", default=0
    ) or config.below("moe").whole("shared_expert_intermediate_size", 0)
    count = first_of(config, "n_shared_experts", default=1 if each else 0)
    return count * (each or expert)


def read_layers(config: JsonObject, kind: ModelType, sizes: Sizes) -> list[Layer]:
    """Return all layers in order.

    Raises: SpecError where a layer's name is not understood.
    """
    return [_layer(config, kind, sizes, index, name) for index, name in enumerate(_names(config, kind))]


def _names(config: JsonObject, kind: ModelType) -> list[str]:
    """Return of each layer what it is: full, window, delta, mamba, mamba2, dense or experts."""
    count = first_of(config, "num_hidden_layers", "n_layer", default=0)
    if count > MOST_LAYERS:
        raise refused(config, "num_hidden_layers", f"{count:,} layers are more than any model has")
    pattern = config.text("hybrid_override_pattern", "")
    key = next((key for key in ("hybrid_override_pattern", *_LISTS) if key in config), "")
    written = tuple(pattern) or config.texts(key)
    if written:
        unknown = [name for name in written if name not in _NAMES]
        if unknown:
            raise refused(config, key, f"a layer '{unknown[0]}' is not understood")
        if len(written) < count:
            raise refused(config, key, f"{len(written)} layers are named, num_hidden_layers is {count}")
        return [_NAMES[name] for name in (written[:count] if count else written)]
    if "attn_layer_period" in config:
        period, offset = config.whole("attn_layer_period", least=1), config.whole("attn_layer_offset", 0)
        return ["full" if index % period == offset else "mamba" for index in range(count)]
    return [_windowed(config, kind, index) for index in range(count)]


def _windowed(config: JsonObject, kind: ModelType, index: int) -> str:
    """Return whether a layer has a window, where only the code of the type says which."""
    if "attention_chunk_size" in config:  # Llama 4: each fourth layer looks at everything
        return "full" if (index + 1) % config.whole("no_rope_layer_interval", 4, least=1) == 0 else "window"
    if "full_attention_interval" in config:
        return "full" if (index + 1) % config.whole("full_attention_interval", least=1) == 0 else "delta"
    if not config.whole("sliding_window", 0) or not config.flag("use_sliding_window", default=True):
        return "full"
    every = first_of(config, "sliding_window_pattern", "_sliding_window_pattern", default=kind.window_every)
    if every:
        return "full" if (index + 1) % every == 0 else "window"
    is_late = index >= config.whole("max_window_layers", 0) if config.flag("use_sliding_window") else True
    return "window" if is_late else "full"


def _layer(config: JsonObject, kind: ModelType, sizes: Sizes, index: int, name: str) -> Layer:
    norms = 2 * sizes.hidden
    if name in ("dense", "experts"):  # Nemotron-H: a layer is one or the other
        own, experts, width = _feed_forward(kind, sizes, is_sparse=name == "experts")
        return Layer(LayerGroup(1, "linear"), norms // 2 + own, experts, width)
    kept, parameters = _mixer(config, kind, sizes, name)
    if name == "mamba2" or kind.has_single_layers:
        return Layer(kept, norms // 2 + parameters)
    own, experts, width = _feed_forward(kind, sizes, is_sparse=sizes.experts > 0 and _is_sparse(config, index))
    return Layer(kept, norms + parameters + own, experts, width)


def _mixer(config: JsonObject, kind: ModelType, sizes: Sizes, name: str) -> tuple[LayerGroup, int]:
    if name == "delta":
        return _delta(config, sizes)
    if name == "mamba2":
        return _mamba2(config, sizes)
    if name == "mamba":
        return _mamba(config, sizes)
    if kind.is_mla:
        return _mla(config, sizes)
    window = first_of(config, "sliding_window", "attention_chunk_size", default=0) if name == "window" else 0
    kept = LayerGroup(1, "window" if window else "full", sizes.kv_heads, sizes.head, window)
    queries = sizes.heads * (3 if kind.has_gated_output else 2)  # to the query and from the output
    return kept, sizes.hidden * sizes.head * (queries + 2 * sizes.kv_heads)


def _mla(config: JsonObject, sizes: Sizes) -> tuple[LayerGroup, int]:
    """Multi-head latent attention. Source: transformers: models/deepseek_v3/modeling_deepseek_v3.py."""
    latent, rope = config.whole("kv_lora_rank", least=1), config.whole("qk_rope_head_dim")
    nope, value = config.whole("qk_nope_head_dim"), config.whole("v_head_dim")
    rank = config.whole("q_lora_rank", 0)
    query = sizes.heads * (nope + rope)
    queries = rank * (sizes.hidden + query) if rank else sizes.hidden * query
    keys = sizes.hidden * (latent + rope) + latent * sizes.heads * (nope + value)
    parameters = queries + keys + sizes.heads * value * sizes.hidden
    index_heads, index_head = config.whole("index_n_heads", 0), config.whole("index_head_dim", 0)
    parameters += index_heads * (index_head * rank + sizes.hidden) + index_head * sizes.hidden
    indexed = index_head + _INDEX_SCALE_BYTES if index_head else 0
    selected = config.whole("index_topk", 0)
    kept = LayerGroup(1, "mla", 0, nope + rope, latent=latent + rope, index_bytes=indexed, selected=selected)
    return kept, parameters


def _delta(config: JsonObject, sizes: Sizes) -> tuple[LayerGroup, int]:
    """Gated delta net. Source: transformers: models/qwen3_next/modeling_qwen3_next.py."""
    key_heads, value_heads = config.whole("linear_num_key_heads"), config.whole("linear_num_value_heads")
    key, value = config.whole("linear_key_head_dim"), config.whole("linear_value_head_dim")
    keys, values, kernel = key_heads * key, value_heads * value, config.whole("linear_conv_kernel_dim", 4)
    convolved = 2 * keys + values
    parameters = sizes.hidden * (convolved + values + 2 * value_heads) + convolved * kernel + values * sizes.hidden
    state = value_heads * key * value * _state_width(config) + convolved * (kernel - 1) * 2
    return LayerGroup(1, "linear", state_bytes=state), parameters


def _mamba2(config: JsonObject, sizes: Sizes) -> tuple[LayerGroup, int]:
    """Mamba 2. Source: the Nemotron-H models' modeling_nemotron_h.py."""
    heads, head = config.whole("mamba_num_heads"), config.whole("mamba_head_dim")
    state, groups = config.whole("ssm_state_size"), config.whole("n_groups", 1)
    inner, kernel = heads * head, config.whole("conv_kernel", 4)
    convolved = inner + 2 * groups * state
    parameters = sizes.hidden * (inner + convolved + heads) + convolved * kernel + inner * (sizes.hidden + 1)
    kept = heads * head * state * _state_width(config) + convolved * (kernel - 1) * 2
    return LayerGroup(1, "linear", state_bytes=kept), parameters


def _mamba(config: JsonObject, sizes: Sizes) -> tuple[LayerGroup, int]:
    """Mamba. Source: transformers: models/jamba/modeling_jamba.py."""
    inner = config.whole("mamba_expand", 2) * sizes.hidden
    state, kernel = config.whole("mamba_d_state", 16), config.whole("mamba_d_conv", 4)
    rank = config.whole("mamba_dt_rank", -(-sizes.hidden // 16))
    parameters = inner * (3 * sizes.hidden + kernel + 2 * rank + 3 * state + 2)
    return LayerGroup(1, "linear", state_bytes=inner * (state * _state_width(config) + (kernel - 1) * 2)), parameters


def _state_width(config: JsonObject) -> int:
    """Return the bytes of a number of a state: 4 where nothing else is written."""
    kind = config.text("mamba_ssm_cache_dtype", "") or config.text("mamba_ssm_dtype", "float32")
    return STATE_BYTES.get(kind, 4)


def _is_sparse(config: JsonObject, index: int) -> bool:
    """Whether a layer of a mixture of experts has experts."""
    if index < config.whole("first_k_dense_replace", 0) or index in config.wholes("mlp_only_layers"):
        return False
    if "expert_layer_period" in config:
        period = config.whole("expert_layer_period", least=1)
        return index % period == config.whole("expert_layer_offset", 0)
    step = first_of(config, "decoder_sparse_step", "interleave_moe_layer_step", default=1)
    return (index + 1) % max(1, step) == 0


def _feed_forward(kind: ModelType, sizes: Sizes, *, is_sparse: bool) -> tuple[int, int, int]:
    """Return a feed-forward part's parameters, those of its routed experts, and the width that one token sees."""
    per_width = kind.matrices * sizes.hidden
    if not is_sparse:
        return per_width * sizes.dense, 0, sizes.dense
    own = sizes.hidden * (sizes.experts + 2 * sizes.latent) + per_width * sizes.shared
    width = sizes.experts_per_token * sizes.expert + sizes.shared
    return own, kind.matrices * (sizes.latent or sizes.hidden) * sizes.expert * sizes.experts, width
