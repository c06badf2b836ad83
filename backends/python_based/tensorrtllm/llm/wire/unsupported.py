"""Tensors of the contract that no engine here can act on: refused by name unless their value changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..request import RequestError
from .triton import Array


@dataclass(frozen=True)
class Unsupported:
    """A tensor, what it asks for, and the value that asks for nothing; an empty tensor never does."""

    feature: str
    neutral: float | None = None


_ENCODER = Unsupported("encoder-decoder models")
_PROMPT_TABLE = Unsupported("prompt embedding tables")
_LORA = Unsupported("LoRA")
_DRAFT = Unsupported("draft tokens")
_RETENTION = Unsupported("retention priorities of the KV cache")
_LOOKAHEAD = Unsupported("lookahead decoding")
_GUIDE = Unsupported("guided decoding")

UNSUPPORTED: Mapping[str, Unsupported] = {
    "beam_width": Unsupported("beam search", 1),
    "return_context_logits": Unsupported("logits", 0),
    "return_generation_logits": Unsupported("logits", 0),
    "embedding_bias": Unsupported("embedding bias", 0),
    "runtime_top_p_decay": Unsupported("a decaying top_p", 1),
    "encoder_input_features": _ENCODER,
    "encoder_output_lengths": _ENCODER,
    "cross_attention_mask": _ENCODER,
    "skip_cross_attn_blocks": _ENCODER,
    "prompt_embedding_table": _PROMPT_TABLE,
    "prompt_table_extra_ids": Unsupported("prompt embedding tables", 0),  # zeros: what preprocessing sends without
    "mrope_rotary_cos_sin": Unsupported("mrope"),
    "mrope_position_deltas": Unsupported("mrope"),
    "lora_task_id": _LORA,
    "lora_weights": _LORA,
    "lora_config": _LORA,
    "draft_input_ids": _DRAFT,
    "draft_logits": _DRAFT,
    "context_phase_params": Unsupported("disaggregated serving"),
    "retention_token_range_starts": _RETENTION,
    "retention_token_range_ends": _RETENTION,
    "retention_token_range_priorities": _RETENTION,
    "retention_token_range_durations_ms": _RETENTION,
    "retention_decode_priority": _RETENTION,
    "retention_decode_duration_ms": _RETENTION,
    "lookahead_window_size": _LOOKAHEAD,
    "lookahead_ngram_size": _LOOKAHEAD,
    "lookahead_verification_set_size": _LOOKAHEAD,
    "guided_decoding_guide_type": _GUIDE,
    "guided_decoding_guide": _GUIDE,
}
# Without what is refused above these have nothing to act on, in NVIDIA's backend neither: pad_id, len_penalty,
# early_stopping, beam_search_diversity_rate, runtime_top_p_min, runtime_top_p_reset_ids, draft_acceptance_threshold,
# prompt_vocab_size.


def refuse_unsupported(tensors: Mapping[str, Array], parameters: str) -> None:
    """Raise RequestError naming the first tensor that asks for something that no engine here can do."""
    for name in UNSUPPORTED.keys() & tensors.keys():
        asked, array = UNSUPPORTED[name], tensors[name]
        if array.size and (asked.neutral is None or (array != asked.neutral).any()):
            way_out = "" if asked.neutral is None else f" (only {asked.neutral:g} is taken)"
            raise RequestError(f"{name}: {asked.feature} cannot be had from this engine; leave it out{way_out}")
    # preprocessing sends one decoder token with every request; decoder-only models have no use for it
    if "decoder_input_ids" in tensors and tensors["decoder_input_ids"].shape[-1] > 1:
        raise RequestError("decoder_input_ids: encoder-decoder models cannot be had from this engine; leave it out")
    kind = json.loads(parameters or "{}").get("request_type", "context_and_generation")
    if kind != "context_and_generation":
        raise RequestError(f"request_type '{kind}': disaggregated serving cannot be had from this engine")
