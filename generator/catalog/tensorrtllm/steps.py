"""The ensemble's three steps: which of their tensors is which of the ensemble's, version by version."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from tritonsmith.generator.catalog.tensorrtllm.rows import (
    POSTPROCESSING_INPUTS,
    TENSORRT_LLM_INPUTS,
    TENSORRT_LLM_OUTPUTS,
)
from tritonsmith.generator.catalog.tensorrtllm.versions import Spanned, Version, spanning


@dataclass(frozen=True)
class Link(Spanned):
    """A step's tensor and the ensemble's that it is."""

    _: KW_ONLY
    step: str = ""
    ensemble: str = ""


@dataclass(frozen=True)
class StepLinks:
    """The links of one step."""

    role: str
    inputs: tuple[Link, ...]
    outputs: tuple[Link, ...]


def _link(step: str, ensemble: str = "", *, since: str = "", until: str = "") -> Link:
    return Link(step=step, ensemble=ensemble or step, since=since, until=until)


def _by_name(names: tuple[str, ...]) -> tuple[Link, ...]:
    """Return links of tensorrt_llm's inputs that the ensemble has under the same name, while it has them."""
    rows = {row.name: row for row in TENSORRT_LLM_INPUTS if row.name in names}
    return tuple(_link(name, since=rows[name].since, until=rows[name].until) for name in names)


# Not reachable through the ensemble, as upstream: top-p's minimum and decay, early stopping, drafts, retention,
# lookahead, stop, images.
STEPS = (
    StepLinks(
        "preprocessing",
        (
            _link("QUERY", "text_input"),
            _link("DECODER_QUERY", "decoder_text_input"),
            _link("IMAGE", "image_input", until="0.13"),
            _link("REQUEST_OUTPUT_LEN", "max_tokens"),
            _link("BAD_WORDS_DICT", "bad_words"),
            _link("STOP_WORDS_DICT", "stop_words"),
            _link("EMBEDDING_BIAS_WORDS", "embedding_bias_words"),
            _link("EMBEDDING_BIAS_WEIGHTS", "embedding_bias_weights"),
            _link("END_ID", "end_id"),
            _link("PAD_ID", "pad_id"),
            _link("PROMPT_EMBEDDING_TABLE", "prompt_embedding_table", until="0.13"),
            _link("PROMPT_TABLE_EXTRA_ID", "prompt_table_extra_id", since="0.13"),
        ),
        (
            _link("REQUEST_INPUT_LEN", "_REQUEST_INPUT_LEN"),
            _link("INPUT_ID", "_INPUT_ID"),
            _link("REQUEST_DECODER_INPUT_LEN", "_REQUEST_DECODER_INPUT_LEN"),
            _link("DECODER_INPUT_ID", "_DECODER_INPUT_ID"),
            _link("REQUEST_OUTPUT_LEN", "_REQUEST_OUTPUT_LEN"),
            _link("STOP_WORDS_IDS", "_STOP_WORDS_IDS"),
            _link("BAD_WORDS_IDS", "_BAD_WORDS_IDS"),
            _link("EMBEDDING_BIAS", "_EMBEDDING_BIAS"),
            _link("OUT_END_ID", "_PREPROCESSOR_END_ID"),
            _link("OUT_PAD_ID", "_PREPROCESSOR_PAD_ID"),
            _link("OUT_PROMPT_EMBEDDING_TABLE", "out_prompt_embedding_table", until="0.13"),
            _link("OUT_PROMPT_TABLE_EXTRA_IDS", "_OUT_PROMPT_TABLE_EXTRA_IDS", since="0.13"),
        ),
    ),
    StepLinks(
        "tensorrt_llm",
        (
            _link("input_ids", "_INPUT_ID"),
            _link("decoder_input_ids", "_DECODER_INPUT_ID"),
            _link("input_lengths", "_REQUEST_INPUT_LEN"),
            _link("decoder_input_lengths", "_REQUEST_DECODER_INPUT_LEN"),
            _link("request_output_len", "_REQUEST_OUTPUT_LEN"),
            _link("end_id", "_PREPROCESSOR_END_ID"),
            _link("pad_id", "_PREPROCESSOR_PAD_ID"),
            _link("embedding_bias", "_EMBEDDING_BIAS"),
            _link("stop_words_list", "_STOP_WORDS_IDS"),
            _link("bad_words_list", "_BAD_WORDS_IDS"),
            _link("prompt_table_extra_ids", "_OUT_PROMPT_TABLE_EXTRA_IDS", since="0.13"),
            _link("prompt_embedding_table", "out_prompt_embedding_table", until="0.13"),
            _link("prompt_embedding_table", since="0.13"),
            _link("runtime_top_k", "top_k"),
            _link("runtime_top_p", "top_p"),
            _link("len_penalty", "length_penalty"),
            _link("streaming", "stream"),
            _link("exclude_input_in_output", since="0.16"),
            *_by_name(
                (
                    "temperature",
                    "repetition_penalty",
                    "min_length",
                    "min_tokens",
                    "presence_penalty",
                    "frequency_penalty",
                    "random_seed",
                    "seed",
                    "return_log_probs",
                    "return_context_logits",
                    "return_generation_logits",
                    "return_kv_cache_reuse_stats",
                    "return_perf_metrics",
                    "return_num_input_tokens",
                    "return_num_output_tokens",
                    "num_return_sequences",
                    "beam_width",
                    "prompt_vocab_size",
                    "guided_decoding_guide_type",
                    "guided_decoding_guide",
                )
            ),
            *spanning((_link("lora_task_id"), _link("lora_weights"), _link("lora_config")), since="0.15"),
        ),
        (
            _link("output_ids", "_TOKENS_BATCH"),
            _link("sequence_length", "_SEQUENCE_LENGTH"),
            *(
                _link(row.name.lower(), f"_{row.name}", until="0.14")
                for row in POSTPROCESSING_INPUTS
                if row.until == "0.14"
            ),
            *spanning(
                tuple(
                    _link(name)
                    for name in (
                        "cum_log_probs",
                        "output_log_probs",
                        "context_logits",
                        "generation_logits",
                        "batch_index",
                        "sequence_index",
                    )
                ),
                since="0.14",
            ),
            *(
                _link(row.name, since=row.since)
                for row in TENSORRT_LLM_OUTPUTS
                if row.since in ("0.16", "0.19", "1.0")  # counters and times, each from the version that has it
            ),
        ),
    ),
    StepLinks(
        "postprocessing",
        tuple(_link(row.name, f"_{row.name}", until=row.until) for row in POSTPROCESSING_INPUTS),
        (
            _link("OUTPUT", "text_output"),
            *(
                _link(f"OUT_{row.name}", row.name.lower(), until="0.14")
                for row in POSTPROCESSING_INPUTS
                if row.until == "0.14"
            ),
        ),
    ),
)


def map_of(links: tuple[Link, ...], version: Version) -> dict[str, str]:
    """Return a step's map in a version: the step's tensor -> the ensemble's."""
    return {link.step: link.ensemble for link in links if link.holds_in(version)}
