"""The llmapi model: text in, text out, around TensorRT-LLM's LLM API; its tensors and its model.yaml, by version.

Tensors have no batch axis: one prompt per request. Source: TensorRT-LLM: triton_backend/all_models/llmapi/tensorrt_llm
(0.19 to main), tensorrt_llm/llmapi/llm_args.py, usage/llm_args_golden_manifest.json. LLM refuses arguments that it does
not know (`extra="forbid"`), after minutes of loading; so they are judged before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from tritonsmith.generator.catalog.tensorrtllm.tensors import (
    BOOL,
    FP32,
    INT32,
    INT64,
    LIST,
    ONE,
    STRING,
    UINT64,
    Is,
    given,
    made,
)
from tritonsmith.generator.catalog.tensorrtllm.versions import Spanned, Version, spanning
from tritonsmith.generator.inspect.architecture import MOST_RANKS

OLDEST: Version = (0, 19)  # the first with the model
MAIN: Version = (1, 3)  # releases whose TensorRT-LLM is not known yet: they are younger than 1.2

# A model.yaml by hand is a page. PyYAML takes a second for each megabyte, and for a thousand brackets within another.
_LARGEST_BYTES, _MOST_BRACKETS = 1 << 16, 300

_SAMPLING = "sampling_param_"
INPUTS = (
    given("text_input", STRING, LIST, Is.REQUIRED),
    given("image_url", STRING, LIST, since="1.3"),
    given("streaming", BOOL),
    given(f"{_SAMPLING}best_of", INT32, since="1.0"),
    given(f"{_SAMPLING}beam_width", INT32, until="1.0"),
    *(given(_SAMPLING + name, FP32) for name in ("temperature",)),
    given(f"{_SAMPLING}top_k", INT32),
    *(given(_SAMPLING + name, FP32) for name in ("top_p", "frequency_penalty", "presence_penalty")),
    given(f"{_SAMPLING}max_tokens", INT32),
    given(f"{_SAMPLING}stop", STRING, LIST),
    given(f"{_SAMPLING}seed", UINT64),
    given(f"{_SAMPLING}exclude_input_from_output", BOOL),
    given(f"{_SAMPLING}return_perf_metrics", BOOL, since="1.0"),
    given(f"{_SAMPLING}logits_post_processor_name", STRING, since="1.3"),
    *(given(f"return_{name}", BOOL) for name in ("finish_reason", "stop_reason", "cumulative_logprob")),
    given("stop", BOOL, since="1.0"),
    given("lora_id", UINT64, since="1.3"),
    *spanning(tuple(given(name, STRING) for name in ("lora_name", "lora_path", "lora_ckpt_source")), since="1.3"),
)
OUTPUTS = (
    made("text_output", STRING, LIST),
    made("finish_reason", STRING, LIST),
    made("stop_reason", STRING, LIST),
    made("cumulative_logprob", FP32, LIST),
    *spanning(
        (
            made("kv_cache_reused_block", INT32, LIST),
            made("kv_cache_missed_block", INT32, LIST),
            made("kv_cache_alloc_new_blocks", INT32, LIST),
            made("kv_cache_alloc_total_blocks", INT32, LIST),
            made("kv_cache_hit_rate", FP32, LIST),
            *(made(f"{stage}_time_ns", INT64, ONE) for stage in ("arrival", "first_scheduled", "first_token")),
            made("last_token_time_ns", INT64, ONE),
            made("acceptance_rate", FP32, ONE),
            made("total_accepted_draft_tokens", INT32, ONE),
            made("total_draft_tokens", INT32, ONE),
        ),
        since="1.0",
    ),
)

Kind = Literal["int", "count", "float", "fraction", "bool", "text", "ints", "any"]


@dataclass(frozen=True)
class Argument(Spanned):
    """One argument of LLM, by its dotted path; `any` is a mapping or list that is handed on as it is."""

    _: KW_ONLY
    path: str = ""
    kind: Kind = "any"
    choices: tuple[str, ...] = ()

    def parse(self, value: Any) -> Any:
        """Return a value of the spec, which is text, as YAML has it.

        Raises: ValueError saying what is expected.
        """
        if self.kind == "any":
            return typed(value)
        if isinstance(value, dict) or (isinstance(value, list) != (self.kind == "ints")):
            raise ValueError(_EXPECTED[self.kind])
        if self.choices and str(value) not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)}")
        if self.kind == "ints":
            return [_number(item, int, 0.0, "ints") for item in value]
        text = str(value)
        if self.kind == "bool":
            if text.lower() not in ("true", "false"):
                raise ValueError(_EXPECTED["bool"])
            return text.lower() == "true"
        if self.kind == "int":
            return _number(text, int, 0.0, "int")
        if self.kind == "count":
            if not 1 <= (count := int(_number(text, int, 0.0, "count"))) <= MOST_RANKS:
                raise ValueError(_EXPECTED["count"])
            return count
        return _number(text, float, 1.0, self.kind) if self.kind in ("float", "fraction") else text


_EXPECTED: dict[str, str] = {
    "int": "a whole number",
    "count": f"a whole number from 1 to {MOST_RANKS}",
    "ints": "a list of whole numbers",
    "float": "a number",
    "fraction": "a number from 0 to 1",
    "bool": "true or false",
    "text": "a text",
}


def _number(text: Any, make: Any, most: float, kind: str) -> Any:
    try:
        value = make(text)
    except (TypeError, ValueError):
        raise ValueError(_EXPECTED[kind]) from None
    if value < 0 or (kind == "fraction" and value > most):
        raise ValueError(_EXPECTED[kind])
    return value


def typed(value: Any) -> Any:
    """Return text of a spec as YAML 1.2 would type it: true, 3, 0.5, else text; mappings and lists within."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if not isinstance(value, str):
        return value
    if value in ("true", "false"):
        return value == "true"
    for make in (int, float):
        try:
            return make(value)
        except ValueError:
            continue
    return value


def _rows(kind: Kind, *paths: str, since: str = "", until: str = "", choices: tuple[str, ...] = ()) -> list[Argument]:
    return [Argument(path=path, kind=kind, since=since, until=until, choices=choices) for path in paths]


def _below(prefix: str, rows: Iterable[Argument], since: str = "") -> list[Argument]:
    return [
        Argument(path=f"{prefix}.{row.path}", kind=row.kind, since=row.since or since, choices=row.choices)
        for row in rows
    ]


ARGUMENTS: tuple[Argument, ...] = (
    *_rows("text", "model", "tokenizer", "revision", "tokenizer_revision", "reasoning_parser", "checkpoint_format"),
    *_rows("text", "postprocess_tokenizer_dir"),
    *_rows("text", "tokenizer_mode", choices=("auto", "slow")),
    *_rows("text", "dtype", choices=("auto", "float16", "bfloat16", "float32")),
    *_rows("text", "load_format", choices=("auto", "dummy", "vision_only", "gms")),
    *_rows("text", "backend", choices=("pytorch", "_autodeploy")),
    *_rows("text", "attn_backend", choices=("TRTLLM", "VANILLA", "FLASHINFER")),
    *_rows("text", "guided_decoding_backend", choices=("xgrammar", "llguidance")),
    *_rows("text", "allreduce_strategy", "orchestrator_type"),
    *_rows("bool", "skip_tokenizer_init", "trust_remote_code", "enable_attention_dp", "enable_lora"),
    *_rows("bool", "enable_chunked_prefill", "gather_generation_logits", "disable_overlap_scheduler"),
    *_rows("bool", "enable_iter_perf_stats", "enable_iter_req_stats", "print_iter_log", "enable_min_latency"),
    *_rows("bool", "enable_layerwise_nvtx_marker", "enable_trtllm_sampler", "force_dynamic_quantization"),
    *_rows("bool", "fail_fast_on_attention_window_too_large", "return_perf_metrics"),
    *_rows("bool", "enable_mixed_sampler", "enable_autotuner", since="0.21"),
    *_rows("bool", "mixed_sampler", "autotuner_enabled", since="0.20", until="0.21"),
    *_rows("count", "tensor_parallel_size", "pipeline_parallel_size", "context_parallel_size", "gpus_per_node"),
    *_rows("count", "moe_tensor_parallel_size", "moe_expert_parallel_size", "moe_cluster_parallel_size"),
    *_rows("int", "max_batch_size", "max_input_len", "max_seq_len", "max_beam_width", "max_num_tokens"),
    *_rows("int", "stream_interval", "num_postprocess_workers", "iter_stats_max_iterations"),
    *_rows("int", "request_stats_max_iterations", "garbage_collection_gen0_threshold"),
    *_rows("any", "cp_config", "quant_config", "calib_config", "speculative_config", "torch_compile_config"),
    *_rows("any", "decoding_config", "connector_config", "attention_dp_config", "kv_connector_config"),
    *_rows("any", "lora_config", "peft_cache_config", "sparse_attention_config"),
    *_rows("any", "pytorch_backend_config", until="0.20"),
    *_rows("bool", "use_cuda_graph", "cuda_graph_padding_enabled", since="0.20", until="1.0"),
    *_rows("ints", "cuda_graph_batch_sizes", since="0.20", until="1.0"),
    *_rows("int", "cuda_graph_max_batch_size", "moe_max_num_tokens", since="0.20", until="1.0"),
    *_rows("text", "moe_backend", "kv_cache_dtype", since="0.20", until="1.0"),
    *_below(
        "cuda_graph_config",
        [*_rows("ints", "batch_sizes"), *_rows("int", "max_batch_size"), *_rows("bool", "enable_padding")],
        since="0.21",
    ),
    *_below("moe_config", [*_rows("text", "backend"), *_rows("int", "max_num_tokens")], since="0.21"),
    *_rows("any", "moe_config.load_balancer", since="0.21"),
    *_rows("bool", "moe_config.disable_finalize_fusion", "moe_config.use_low_precision_moe_combine", since="1.1"),
    *_below(
        "kv_cache_config",
        [
            *_rows("bool", "enable_block_reuse", "onboard_blocks", "enable_partial_reuse", "copy_on_partial_reuse"),
            *_rows("bool", "use_uvm"),
            *_rows("int", "max_tokens", "sink_token_length", "host_cache_size", "secondary_offload_min_priority"),
            *_rows("int", "event_buffer_max_size", "max_gpu_total_bytes", "tokens_per_block"),
            *_rows("int", "attention_dp_events_gather_period_ms"),
            *_rows("ints", "max_attention_window"),
            *_rows("fraction", "free_gpu_memory_fraction", "cross_kv_cache_fraction"),
            *_rows("text", "dtype", choices=("auto", "float16", "bfloat16", "float32", "fp8", "nvfp4")),
            *_rows("text", "mamba_ssm_cache_dtype", choices=("auto", "float16", "bfloat16", "float32")),
        ],
    ),
    *_rows(
        "text",
        "scheduler_config.capacity_scheduler_policy",
        choices=("MAX_UTILIZATION", "GUARANTEED_NO_EVICT", "STATIC_BATCH"),
    ),
    *_rows(
        "text",
        "scheduler_config.context_chunking_policy",
        choices=("FIRST_COME_FIRST_SERVED", "EQUAL_PROGRESS", "FORCE_CHUNK"),
    ),
    *_rows("text", "scheduler_config.waiting_queue_policy", choices=("fcfs", "priority"), since="1.2"),
    *_rows("any", "scheduler_config.dynamic_batch_config"),
    *_rows("text", "cache_transceiver_config.backend", choices=("DEFAULT", "UCX", "NIXL", "MOONCAKE", "MPI")),
    *_rows("int", "cache_transceiver_config.max_tokens_in_buffer"),
    *_rows("any", "logits_post_processors", since="1.3"),
)

# What an engine's build and the TensorRT backend had, and where it went.
GONE = {
    "build_config": "limits are arguments of their own: max_batch_size, max_seq_len, max_num_tokens, max_beam_width",
    "enable_build_cache": "nothing is built",
    "fast_build": "nothing is built",
    "max_tokens_in_paged_kv_cache": "kv_cache_config.max_tokens",
    "kv_cache_free_gpu_mem_fraction": "kv_cache_config.free_gpu_memory_fraction",
    "kv_cache_host_memory_bytes": "kv_cache_config.host_cache_size",
    "enable_kv_cache_reuse": "kv_cache_config.enable_block_reuse",
    "max_attention_window_size": "kv_cache_config.max_attention_window",
    "sink_token_length": "kv_cache_config.sink_token_length",
    "enable_chunked_context": "enable_chunked_prefill",
    "batch_scheduler_policy": "scheduler_config.capacity_scheduler_policy, in capitals",
    "decoding_mode": "speculative_config",
    "cuda_graph_mode": "cuda_graph_config",
    "lora_cache_optimal_adapter_size": "peft_cache_config.optimal_adapter_size",
    "lora_cache_max_adapter_size": "peft_cache_config.max_adapter_size",
    "lora_cache_gpu_memory_fraction": "peft_cache_config.device_cache_percent",
    "lora_cache_host_memory_bytes": "peft_cache_config.host_cache_size",
    "triton_config": "the blueprint writes it",
}


def is_readable(document: bytes) -> bool:
    """Whether a model.yaml is of a size that can be read in no time."""
    return len(document) <= _LARGEST_BYTES and document.count(b"[") + document.count(b"{") <= _MOST_BRACKETS


def arguments_of(version: Version) -> dict[str, Argument]:
    """Return the arguments that a version has, by dotted path."""
    return {row.path: row for row in ARGUMENTS if row.holds_in(version)}
