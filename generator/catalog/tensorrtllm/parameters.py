"""The parameters of the five models: what each is, which values it takes, what the backend takes where it is absent.

Source: config.pbtxt of the five templates, 0.12 to 1.2, and the backend's own reading of them (model.py,
model_instance_state.cc): a boolean written otherwise than true or false is a warning and the default; a number that
does not parse likewise. So a wrong value has to be found before the backend sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from tritonsmith.generator.catalog.tensorrtllm.versions import Spanned, Version

Kind = Literal["text", "path", "bool", "int", "fraction", "ints", "groups", "choices", "tree"]

PLACEHOLDER = "${"  # what a template leaves open
# What a value of each kind looks like, and how that is said; whole numbers are at most C++'s 64 bits.
_FORMS: dict[Kind, tuple[str, str]] = {
    "text": (r".+", "some text"),
    "path": (r".+", "a path"),
    "bool": (r"true|false", "true or false"),
    "int": (r"\d{1,18}", "a whole number"),
    "fraction": (r"0(\.\d*)?|\.\d+|1(\.0*)?", "a number from 0 to 1"),
    "ints": (r"\d{1,18}(,\d{1,18})*", "whole numbers with commas between them, e.g. 4096,256"),
    "groups": (r"\d{1,9}(,\d{1,9})*(;\d{1,9}(,\d{1,9})*)*", "',' between members and ';' between groups, e.g. 0,1;2,3"),
    "tree": (r"\{\d+(, ?\d+)*\}(, ?\{\d+(, ?\d+)*\})*", "paths of a tree, e.g. {0}, {0, 0}, {1}"),
}


@dataclass(frozen=True)
class Parameter(Spanned):
    """One row; `default` is what the backend takes where the key is absent, empty where it takes none.

    One that `is_written` stands in config.pbtxt although the spec leaves it out: it says how the model works. One that
    `is_ours` is read by our Python-based backend alone; C++ ignores it. One that `is_asked_for` must stand there, be it
    empty: the backend asks for it and has no default.
    """

    _: KW_ONLY
    name: str = ""
    kind: Kind = "text"
    default: str = ""
    choices: tuple[str, ...] = ()
    about: str = ""
    is_written: bool = False
    is_ours: bool = False
    is_asked_for: bool = False

    def normalised(self, value: str) -> str | None:
        """Return the value as the backend reads it, None where it is none of its values: a placeholder never is."""
        if PLACEHOLDER in value:
            return None
        text = re.sub(r"\s*([,;])\s*", r"\1", value.strip()) if self.kind in ("ints", "groups") else value.strip()
        text = text.lower() if self.kind == "bool" else text
        if self.choices:
            return text if text in self.choices else None
        return text if re.fullmatch(_FORMS[self.kind][0], text) else None

    @property
    def form(self) -> str:
        """What its values look like, in words."""
        return f"one of {', '.join(self.choices)}" if self.choices else _FORMS[self.kind][1]


def _row(
    name: str,
    kind: Kind = "text",
    default: str = "",
    about: str = "",
    *,
    choices: tuple[str, ...] = (),
    since: str = "",
    until: str = "",
    is_written: bool = False,
    is_ours: bool = False,
    is_asked_for: bool = False,
) -> Parameter:
    kind = "choices" if choices else kind
    return Parameter(
        name=name,
        kind=kind,
        default=default,
        about=about,
        choices=choices,
        since=since,
        until=until,
        is_written=is_written,
        is_ours=is_ours,
        is_asked_for=is_asked_for,
    )


TENSORRT_LLM = (
    _row("max_beam_width", "int", "1", "at most the engine's", is_written=True),
    # Read by Triton's Python backend where that runs the model.
    _row("FORCE_CPU_ONLY_INPUT_TENSORS", default="no", choices=("no", "yes"), is_written=True),
    _row(
        "gpt_model_type",
        default="inflight_fused_batching",  # NVIDIA's templates leave it open, and nothing loads without it
        about="how requests are batched",
        choices=("inflight_fused_batching", "inflight_batching", "V1"),
        is_written=True,
        is_asked_for=True,
        until="0.20",
    ),
    _row(
        "gpt_model_type",
        default="inflight_fused_batching",
        about="how requests are batched",
        choices=("inflight_fused_batching", "inflight_batching"),  # GptSession, which V1 was, is gone
        is_written=True,
        is_asked_for=True,
        since="0.20",
    ),
    _row("gpt_model_path", "path", about="the engine"),
    _row("encoder_model_path", "path", about="the encoder's engine, of encoder-decoder models"),
    _row("max_tokens_in_paged_kv_cache", "int", about="KV cache in tokens; the lesser of this and the fraction counts"),
    _row("max_attention_window_size", "ints", about="tokens each layer looks back; repeated over the layers"),
    _row("sink_token_length", "int", about="first tokens that a window never drops (StreamingLLM)"),
    _row(
        "batch_scheduler_policy",
        default="guaranteed_no_evict",
        about="max_utilization packs more and may pause requests",
        choices=("guaranteed_no_evict", "max_utilization"),
        is_written=True,
    ),
    _row(
        "kv_cache_free_gpu_mem_fraction", "fraction", "0.9", "of the memory that is free when it loads", is_written=True
    ),
    _row("cross_kv_cache_fraction", "fraction", about="of the KV cache, for the encoder; only there", since="0.14"),
    _row("kv_cache_host_memory_bytes", "int", "0", "host memory for reused blocks"),
    _row("kv_cache_onboard_blocks", "bool", "true"),
    _row("enable_trt_overlap", choices=("false",), about="deprecated: C++ ignores it, Python refuses true"),
    _row(
        "exclude_input_in_output",
        "bool",
        "false",
        "answers without the prompt, unless the request says",
        is_written=True,
    ),
    _row("cancellation_check_period_ms", "int", "100", is_written=True),
    _row("stats_check_period_ms", "int", "100", "how often metrics are read", is_written=True),
    _row(
        "recv_poll_period_ms",
        "int",
        about="pause between looks for new requests; absent is 0",
        since="0.13",
    ),
    _row("iter_stats_max_iterations", "int", "1000"),
    _row("request_stats_max_iterations", "int", "0"),
    _row("enable_kv_cache_reuse", "bool", "false", "needs paged context FMHA", until="1.0"),
    _row("enable_kv_cache_reuse", "bool", "true", "needs paged context FMHA", since="1.0"),
    _row("normalize_log_probs", "bool", "true"),
    _row("enable_chunked_context", "bool", "false", "prompts in pieces; needs paged context FMHA"),
    _row("gpu_device_ids", "groups", about="GPUs of an instance; without it by rank"),
    _row("participant_ids", "groups", about="MPI ranks, where an orchestrator does not spawn", since="0.13"),
    _row("num_nodes", "int", "1", "of an orchestrator", since="0.19"),
    _row("lora_cache_optimal_adapter_size", "int", "8", "rank"),
    _row("lora_cache_max_adapter_size", "int", "64", "rank"),
    _row("lora_cache_gpu_memory_fraction", "fraction", "0.05"),
    _row("lora_cache_host_memory_bytes", "int", str(1 << 30)),
    _row("lora_prefetch_dir", "path", since="0.19"),
    _row(
        "decoding_mode",
        about="without it top_k_top_p, beam_search where beams are wider than 1",
        choices=("top_k", "top_p", "top_k_top_p", "beam_search", "medusa"),
        until="0.16",
    ),
    _row(
        "decoding_mode",
        about="without it top_k_top_p, beam_search where beams are wider than 1",
        choices=("top_k", "top_p", "top_k_top_p", "beam_search", "medusa", "redrafter", "lookahead", "eagle"),
        since="0.16",
    ),
    _row(
        "executor_worker_path",
        "path",
        "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",
        "what an orchestrator spawns",
        is_written=True,
    ),
    _row("lookahead_window_size", "int", about="all three or none, each at most the engine's", since="0.19"),
    _row("lookahead_ngram_size", "int", since="0.19"),
    _row("lookahead_verification_set_size", "int", since="0.19"),
    _row("medusa_choices", "tree"),
    _row("eagle_choices", "tree", since="0.16"),
    _row("gpu_weights_percent", "fraction", "1.0", "less than 1 needs an engine with weight streaming"),
    _row("enable_context_fmha_fp32_acc", "bool", "false"),
    _row("multi_block_mode", "bool", "true"),
    _row("cuda_graph_mode", "bool", "false", since="0.15"),
    _row("cuda_graph_cache_size", "int", "0", since="0.15"),
    _row("speculative_decoding_fast_logits", "bool", "false", since="0.15"),
    # Asked for whether or not requests are guided (model_instance_state.cc: getGuidedDecodingConfigFromParams).
    _row("tokenizer_dir", "path", about="for guided decoding in Python", since="0.19", is_asked_for=True),
    _row("guided_decoding_backend", choices=("xgrammar",), since="0.19", is_asked_for=True),
    _row("xgrammar_tokenizer_info_path", "path", about="for guided decoding in C++", since="0.19", is_asked_for=True),
    _row("intra_op_thread_count", "int", "1", "threads of the CPU engine", is_ours=True),
    _row("coalesce_responses", "bool", "false", "tokens that wait together are sent together", is_ours=True),
)

# Those of the other models; what names models and files is written by the blueprint itself.
PREPROCESSING = (
    _row("tokenizer_dir", "path"),
    _row("add_special_tokens", "bool", "true"),
    _row("visual_model_path", "path", until="0.19"),
    _row("multimodal_model_path", "path", since="0.19"),
    _row("gpt_model_path", "path"),
    _row("max_num_images", "int", since="0.15"),
    _row("hf_model_path", "path", since="1.0"),
)
POSTPROCESSING = (
    _row("tokenizer_dir", "path"),
    _row("skip_special_tokens", "bool", "true"),
)
TENSORRT_LLM_BLS = (
    _row("accumulate_tokens", "bool", "false"),
    _row("tensorrt_llm_model_name", default="tensorrt_llm"),
    _row("tensorrt_llm_draft_model_name"),
    _row("multimodal_encoders_name", since="0.13"),
)

PARAMETERS = {
    "preprocessing": PREPROCESSING,
    "tensorrt_llm": TENSORRT_LLM,
    "postprocessing": POSTPROCESSING,
    "ensemble": (),
    "tensorrt_llm_bls": TENSORRT_LLM_BLS,
}


def parameters_of(rows: Iterable[Parameter], version: Version) -> dict[str, Parameter]:
    """Return the parameters that a version has, by name."""
    return {row.name: row for row in rows if row.holds_in(version)}
