"""The tensors of the five models, version by version.

Source: all_models/inflight_batcher_llm of tensorrtllm_backend (0.12 to 0.19) and of TensorRT-LLM's triton_backend
(0.20 to 1.2), compared tag by tag. Two rows of one name are two versions of one tensor.
"""

from __future__ import annotations

from tritonsmith.generator.catalog.tensorrtllm.tensors import (
    BOOL,
    ENCODER,
    FP16,
    FP32,
    INT32,
    INT64,
    LIST,
    LOGITS,
    MATRIX,
    ONE,
    OPTIONAL,
    PROMPT,
    RAGGED,
    SCALAR,
    STRING,
    UINT8,
    UINT64,
    Is,
    given,
    made,
)
from tritonsmith.generator.catalog.tensorrtllm.versions import spanning

PICTURES = (-1, -1, -1, -1)
WORDS = (2, -1)  # ids of all words one after the other; where each ends
CUBE = (-1, -1, -1)

PREPROCESSING_INPUTS = (
    given("QUERY", STRING, ONE, Is.REQUIRED),
    given("DECODER_QUERY", STRING),
    given("IMAGE", FP16, (3, 224, 224), until="0.13"),
    given("IMAGE_BYTES", UINT8, PICTURES, since="0.15"),
    given("IMAGE_URL", STRING, since="0.15"),
    given("IMAGES", STRING, LIST, since="1.0"),
    given("VIDEO_BYTES", UINT8, PICTURES, since="0.16"),
    given("REQUEST_OUTPUT_LEN", INT32, ONE, Is.REQUIRED),
    given("BAD_WORDS_DICT", STRING, LIST),
    given("STOP_WORDS_DICT", STRING, LIST),
    given("EMBEDDING_BIAS_WORDS", STRING, LIST),
    given("EMBEDDING_BIAS_WEIGHTS", FP32, LIST),
    given("END_ID", INT32),
    given("PAD_ID", INT32),
    given("PROMPT_EMBEDDING_TABLE", FP16, MATRIX, RAGGED, until="0.13"),
    given("PROMPT_TABLE_EXTRA_ID", UINT64, since="0.13"),
)

PREPROCESSING_OUTPUTS = (
    made("INPUT_ID", INT32, LIST),
    made("REQUEST_INPUT_LEN", INT32),
    made("DECODER_INPUT_ID", INT32, LIST),
    made("REQUEST_DECODER_INPUT_LEN", INT32),
    made("BAD_WORDS_IDS", INT32, WORDS),
    made("STOP_WORDS_IDS", INT32, WORDS),
    made("EMBEDDING_BIAS", FP32, LIST),
    made("REQUEST_OUTPUT_LEN", INT32, LIST),
    made("OUT_END_ID", INT32),
    made("OUT_PAD_ID", INT32),
    made("OUT_PROMPT_EMBEDDING_TABLE", FP16, MATRIX, until="0.13"),
    made("OUT_PROMPT_TABLE_EXTRA_IDS", UINT64, LIST, since="0.13"),
    *spanning(
        (
            made("PIXEL_VALUES", FP16, PICTURES),
            made("ASPECT_RATIO_IDS", INT64, LIST),
            made("ASPECT_RATIO_MASK", INT64, MATRIX),
            made("CROSS_ATTENTION_MASK", INT64, CUBE),
        ),
        since="0.15",
    ),
    made("IMAGE_SIZES", INT64, (2,), since="0.16", until="1.0"),
    made("IMAGE_SIZES", INT64, (-1, 2), since="1.0"),
    made("IS_VIDEO_INPUT", BOOL, since="0.16"),
    *spanning(
        (
            made("ATTENTION_MASK", INT64, LIST),
            made("IMAGE_GRID_THW", INT64, (3,)),
            made("VISION_INPUT_ID", INT32, LIST),
        ),
        since="0.19",
    ),
)

_RETURNS = (
    given("return_log_probs", BOOL, ONE, SCALAR),
    given("return_context_logits", BOOL, ONE, SCALAR),
    given("return_generation_logits", BOOL, ONE, SCALAR),
    given("return_kv_cache_reuse_stats", BOOL, ONE, SCALAR, since="0.16", until="0.19"),
    given("return_perf_metrics", BOOL, ONE, SCALAR, since="0.19"),
    given("return_num_input_tokens", BOOL, ONE, SCALAR, since="1.0"),
    given("return_num_output_tokens", BOOL, ONE, SCALAR, since="1.0"),
)

TENSORRT_LLM_INPUTS = (
    given("input_ids", INT32, LIST, Is.RAGGED, until="0.15"),
    given("input_ids", INT32, LIST, RAGGED, since="0.15"),  # an encoder's features may stand for them
    given("encoder_input_features", ENCODER, MATRIX, RAGGED, since="0.15"),
    given("encoder_output_lengths", INT32, ONE, SCALAR, since="0.15"),
    given("input_lengths", INT32, ONE, Is.SCALAR),
    given("request_output_len", INT32, ONE, Is.SCALAR),
    given("num_return_sequences", INT32, ONE, SCALAR, since="0.14"),
    given("draft_input_ids", INT32, LIST, RAGGED),
    given("decoder_input_ids", INT32, LIST, RAGGED),
    given("decoder_input_lengths", INT32, ONE, SCALAR),
    given("draft_logits", FP32, MATRIX, RAGGED, until="0.17"),
    given("draft_logits", LOGITS, MATRIX, RAGGED, since="0.17"),
    given("draft_acceptance_threshold", FP32, ONE, SCALAR),
    given("end_id", INT32, ONE, SCALAR),
    given("pad_id", INT32, ONE, SCALAR),
    given("stop_words_list", INT32, WORDS, RAGGED),
    given("bad_words_list", INT32, WORDS, RAGGED),
    given("embedding_bias", FP32, LIST, RAGGED),
    given("beam_width", INT32, ONE, SCALAR),
    given("temperature", FP32, ONE, SCALAR),
    given("runtime_top_k", INT32, ONE, SCALAR),
    given("runtime_top_p", FP32, ONE, SCALAR),
    given("runtime_top_p_min", FP32, ONE, SCALAR),
    given("runtime_top_p_decay", FP32, ONE, SCALAR),
    given("runtime_top_p_reset_ids", INT32, ONE, SCALAR),
    given("len_penalty", FP32, ONE, SCALAR),
    given("early_stopping", BOOL, ONE, SCALAR),
    given("repetition_penalty", FP32, ONE, SCALAR),
    given("min_length", INT32, ONE, SCALAR, until="1.0"),
    given("min_tokens", INT32, ONE, SCALAR, since="1.0"),
    given("beam_search_diversity_rate", FP32, ONE, SCALAR),
    given("presence_penalty", FP32, ONE, SCALAR),
    given("frequency_penalty", FP32, ONE, SCALAR),
    given("random_seed", UINT64, ONE, SCALAR, until="1.0"),
    given("seed", UINT64, ONE, SCALAR, since="1.0"),
    *_RETURNS,
    given("exclude_input_in_output", BOOL, ONE, SCALAR, since="0.14"),
    given("stop", BOOL, ONE, SCALAR),
    given("streaming", BOOL, ONE, SCALAR),
    given("prompt_embedding_table", FP16, MATRIX, RAGGED, until="1.1"),
    given("prompt_embedding_table", PROMPT, MATRIX, RAGGED, since="1.1"),
    given("prompt_table_extra_ids", UINT64, LIST, RAGGED, since="0.13"),
    given("prompt_vocab_size", INT32, ONE, SCALAR),
    given("cross_attention_mask", BOOL, MATRIX, RAGGED, since="0.15"),
    given("mrope_rotary_cos_sin", FP32, LIST, since="0.19"),
    given("mrope_position_deltas", INT64, since="0.19"),
    given("lora_task_id", UINT64, ONE, SCALAR),
    given("lora_weights", FP16, MATRIX, RAGGED),
    given("lora_config", INT32, (-1, 3), RAGGED),  # module, layer, rank
    given("context_phase_params", UINT8, LIST, RAGGED, since="0.14"),
    given("skip_cross_attn_blocks", BOOL, ONE, RAGGED, since="0.16"),
    *spanning(
        (
            given("retention_token_range_starts", INT32, LIST, RAGGED),
            given("retention_token_range_ends", INT32, LIST, RAGGED),
            given("retention_token_range_priorities", INT32, LIST, RAGGED),
            given("retention_token_range_durations_ms", INT32, LIST, RAGGED),
            given("retention_decode_priority", INT32, ONE, RAGGED),
            given("retention_decode_duration_ms", INT32, ONE, RAGGED),
        ),
        since="0.17",
    ),
    *spanning(
        (
            given("guided_decoding_guide_type", STRING, ONE, RAGGED),
            given("guided_decoding_guide", STRING, ONE, RAGGED),
            given("lookahead_window_size", INT32, ONE, RAGGED),
            given("lookahead_ngram_size", INT32, ONE, RAGGED),
            given("lookahead_verification_set_size", INT32, ONE, RAGGED),
        ),
        since="0.19",
    ),
)

# What clients see beside the text: the same in tensorrt_llm, in the ensemble and in tensorrt_llm_bls.
_ANSWERS = (
    made("cum_log_probs", FP32, LIST),
    made("output_log_probs", FP32, MATRIX),
    made("context_logits", FP32, MATRIX, until="0.17"),
    made("context_logits", LOGITS, MATRIX, since="0.17"),
    made("generation_logits", FP32, CUBE, until="0.17"),
    made("generation_logits", LOGITS, CUBE, since="0.17"),
    made("batch_index", INT32),
    made("sequence_index", INT32, since="0.14"),
    *spanning(
        (
            made("kv_cache_alloc_new_blocks", INT32),
            made("kv_cache_reused_blocks", INT32),
            made("kv_cache_alloc_total_blocks", INT32),
        ),
        since="0.16",
    ),
    *spanning(
        (
            made("arrival_time_ns", INT64),
            made("first_scheduled_time_ns", INT64),
            made("first_token_time_ns", INT64),
            made("last_token_time_ns", INT64),
            made("acceptance_rate", FP32),
            made("total_accepted_draft_tokens", INT32),
            made("total_draft_tokens", INT32),
        ),
        since="0.19",
    ),
    made("num_input_tokens", INT32, since="1.0"),
    made("num_output_tokens", INT32, since="1.0"),
)

TENSORRT_LLM_OUTPUTS = (
    made("output_ids", INT32, MATRIX),  # [beams, length], -1 where a beam is shorter
    made("sequence_length", INT32, LIST),
    *_ANSWERS,
    made("context_phase_params", UINT8, LIST, since="0.14"),
)

# Up to 0.13 log-probs and logits went through postprocessing, so that all outputs came from one step.
POSTPROCESSING_INPUTS = (
    given("TOKENS_BATCH", INT32, MATRIX, Is.REQUIRED),
    given("SEQUENCE_LENGTH", INT32, LIST, Is.REQUIRED),
    *spanning(
        (
            given("CUM_LOG_PROBS", FP32, LIST),
            given("OUTPUT_LOG_PROBS", FP32, MATRIX),
            given("CONTEXT_LOGITS", FP32, MATRIX),
            given("GENERATION_LOGITS", FP32, CUBE),
            given("BATCH_INDEX", INT32),
        ),
        until="0.14",
    ),
)

POSTPROCESSING_OUTPUTS = (
    made("OUTPUT", STRING, LIST),
    *spanning(
        (
            made("OUT_CUM_LOG_PROBS", FP32, LIST),
            made("OUT_OUTPUT_LOG_PROBS", FP32, MATRIX),
            made("OUT_CONTEXT_LOGITS", FP32, MATRIX),
            made("OUT_GENERATION_LOGITS", FP32, CUBE),
            made("OUT_BATCH_INDEX", INT32),
        ),
        until="0.14",
    ),
)

_TEXT_IN = (
    given("text_input", STRING, ONE, Is.REQUIRED),
    given("decoder_text_input", STRING),
    given("max_tokens", INT32, ONE, Is.REQUIRED),
    given("bad_words", STRING, LIST),
    given("stop_words", STRING, LIST),
    given("exclude_input_in_output", BOOL, since="0.16"),
    given("end_id", INT32),
    given("pad_id", INT32),
    given("top_k", INT32),
    given("top_p", FP32),
    given("temperature", FP32),
    given("length_penalty", FP32),
    given("repetition_penalty", FP32),
    given("min_length", INT32, until="1.0"),
    given("min_tokens", INT32, since="1.0"),
    given("presence_penalty", FP32),
    given("frequency_penalty", FP32),
    given("random_seed", UINT64, until="1.0"),
    given("seed", UINT64, since="1.0"),
    given("beam_width", INT32),
    given("stream", BOOL),
    # Upstream's ensemble says FP16 whatever tensorrt_llm says, and then does not load: the three say the same here.
    given("prompt_embedding_table", FP16, MATRIX, until="1.1"),
    given("prompt_embedding_table", PROMPT, MATRIX, since="1.1"),
    given("prompt_table_extra_id", UINT64, since="0.13"),
    given("prompt_vocab_size", INT32),
    given("embedding_bias_words", STRING, LIST),
    given("embedding_bias_weights", FP32, LIST),
    given("lora_weights", FP16, MATRIX, RAGGED, since="0.15"),
    given("lora_config", INT32, (-1, 3), RAGGED, since="0.15"),
)

# The same inputs in both: without the batch axis alone (scalar) in tensorrt_llm_bls, as [1] in the ensemble.
ENSEMBLE_INPUTS = (
    *_TEXT_IN,
    given("image_input", FP16, (3, 224, 224), until="0.13"),
    given("num_return_sequences", INT32, since="0.14"),
    given("lora_task_id", UINT64, since="0.15"),
    *(given(row.name, row.data_type, row.dims, OPTIONAL, since=row.since, until=row.until) for row in _RETURNS),
    given("guided_decoding_guide_type", STRING, ONE, RAGGED, since="0.19"),
    given("guided_decoding_guide", STRING, ONE, RAGGED, since="0.19"),
)

TENSORRT_LLM_BLS_INPUTS = (
    *_TEXT_IN,
    given("image_input", FP16, (3, 224, 224), until="0.13"),
    given("image_input", FP16, (3, -1, -1), since="0.13", until="0.15"),
    given("image_input", FP16, (-1, 3, -1, -1), since="0.15"),
    given("image_bytes_input", UINT8, PICTURES, since="0.16"),
    given("image_url_input", STRING, since="0.16"),
    given("video_bytes_input", UINT8, PICTURES, since="0.16"),
    given("num_return_sequences", INT32, ONE, SCALAR, since="0.14"),
    given("num_draft_tokens", INT32),
    given("use_draft_logits", BOOL, ONE, SCALAR),
    given("lora_task_id", UINT64, ONE, SCALAR, since="0.15"),
    *_RETURNS,
    given("guided_decoding_guide_type", STRING, since="0.19"),
    given("guided_decoding_guide", STRING, since="0.19"),
)

TEXT_OUTPUTS = (made("text_output", STRING, LIST), *_ANSWERS)

TENSORS = {
    "preprocessing": (PREPROCESSING_INPUTS, PREPROCESSING_OUTPUTS),
    "tensorrt_llm": (TENSORRT_LLM_INPUTS, TENSORRT_LLM_OUTPUTS),
    "postprocessing": (POSTPROCESSING_INPUTS, POSTPROCESSING_OUTPUTS),
    "ensemble": (ENSEMBLE_INPUTS, TEXT_OUTPUTS),
    "tensorrt_llm_bls": (TENSORRT_LLM_BLS_INPUTS, TEXT_OUTPUTS),
}
