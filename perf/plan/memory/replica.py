"""Where the memory of a replica's fullest GPU goes: weights, KV cache, and all that is neither."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.perf.plan.core import CacheType, Figure, LanguageModel, LayerGroup, Memory, Part, Serving, exact, total
from tritonsmith.perf.plan.memory.overheads import driver_part, runtime_parts, working_parts
from tritonsmith.perf.plan.memory.weights import weight_parts
from tritonsmith.perf.plan.precisions import CACHE_BYTES, WEIGHT_BYTES, can_calculate, is_quantised_from


def memory(model: LanguageModel, serving: Serving, gpu: Gpu, *, tokens_per_sequence: float | None = None) -> Memory:
    """Return what lies in the memory of the fullest GPU, and how many tokens the KV cache of a replica then holds.

    `tokens_per_sequence` is the mean length of a sequence in flight. Layers with a window keep no more than that of
    each; where no length is given they are counted as if they kept everything.
    """
    states = state_bytes_per_sequence(model, serving)
    parts = (
        *weight_parts(model, serving),
        *working_parts(model, serving),
        *_state_parts(serving, states),
        *runtime_parts(serving.spread),
        driver_part(gpu),
    )
    free = _left(gpu.memory_bytes, parts)
    per_token = kv_bytes_per_token(model, serving, tokens_per_sequence)
    return Memory(
        gpu_bytes=gpu.memory_bytes,
        parts=parts,
        kv_bytes_per_token=per_token,
        state_bytes_per_sequence=states,
        kv_tokens=_tokens(free, per_token, serving),
        free_bytes=free,
    )


def kv_bytes_per_token(model: LanguageModel, serving: Serving, tokens_per_sequence: float | None = None) -> float:
    """Return the bytes of the KV cache that one token takes on the fullest GPU, the mean over a sequence's tokens."""
    return sum(_group_bytes(group, serving, tokens_per_sequence) for group in model.layers)


def _group_bytes(group: LayerGroup, serving: Serving, tokens: float | None) -> float:
    layers = ceil(group.count / serving.spread.pipeline)
    width = CACHE_BYTES[serving.cache_type]
    if group.attention == "mla":  # one vector, which all heads share: tensor parallelism copies it
        return layers * (group.latent * width + group.index_bytes)
    heads = max(1, ceil(group.kv_heads / serving.spread.tensor)) if group.kv_heads else 0
    kept = min(1.0, group.window / tokens) if group.attention == "window" and tokens else 1.0
    return layers * 2 * heads * group.head_size * width * kept


def state_bytes_per_sequence(model: LanguageModel, serving: Serving) -> float:
    """Return the bytes of linear-attention and state-space layers' states of one sequence, on the fullest GPU."""
    spread = serving.spread
    return sum(
        ceil(group.count / spread.pipeline) * group.state_bytes / spread.tensor
        for group in model.layers
        if group.state_bytes
    )


def _state_parts(serving: Serving, states: float) -> Iterable[Part]:
    if states:
        # Source: TensorRT-LLM: _torch/pyexecutor/mamba_cache_manager.py: a slot for each of max_batch_size sequences
        value = exact(serving.rank_batch_size * states, "the shape of its layers")
        arithmetic = f"{serving.rank_batch_size} sequences x {states:,.0f} B"
        yield Part("states of layers without a KV cache", value, arithmetic)


def _left(gpu_bytes: float, parts: Iterable[Part]) -> Figure:
    taken = total(parts, "the GPU's memory less all parts")
    return Figure(gpu_bytes - taken.value, gpu_bytes - taken.high, gpu_bytes - taken.low, taken.source)


def _tokens(free: Figure, per_token: float, serving: Serving) -> Figure:
    """Return what a replica's cache holds: each of `data` groups of GPUs has a cache of its own."""
    if not per_token:
        return exact(0, "no layer keeps a KV cache")
    scale = serving.kv_fraction * serving.spread.data / per_token
    source = f"{serving.kv_fraction:g} of the free memory / {per_token:,.0f} B a token x {serving.spread.data} caches"
    return Figure(max(0.0, free.value * scale), max(0.0, free.low * scale), max(0.0, free.high * scale), source)


def quantisations_that_fit(
    model: LanguageModel, serving: Serving, gpu: Gpu, *, tokens: float = 1, tokens_per_sequence: float | None = None
) -> tuple[Serving, ...]:
    """Return the ways to store weights and cache that fit and leave room for `tokens` tokens, the most exact first.

    Only what the GPU calculates with, and nothing wider than the files hold. A cache in 8 bits is tried where weights
    are in 8 bits or fewer.
    """
    found = []
    for weights in sorted(WEIGHT_BYTES, key=lambda kind: -WEIGHT_BYTES[kind]):
        if not is_quantised_from(weights, model.weight_type):
            continue
        caches: tuple[CacheType, ...] = ("bf16", "fp8") if WEIGHT_BYTES[weights] <= 1 else ("bf16",)
        for cache in caches:
            tried = replace(serving, weight_type=weights, cache_type=cache)
            if not can_calculate(gpu, weights, cache):
                continue
            room = memory(model, tried, gpu, tokens_per_sequence=tokens_per_sequence)
            if room.fits and (not room.kv_bytes_per_token or room.kv_tokens.value >= tokens):
                found.append(tried)
    return tuple(found)
