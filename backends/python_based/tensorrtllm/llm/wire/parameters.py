"""`parameters` of config.pbtxt -> Settings; what this engine cannot do is refused by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

Policy = Literal["guaranteed_no_evict", "max_utilization"]
# used: read here or by the engine; unused: accepted and logged, since it changes no answer; refused: it would.
Use = Literal["used", "unused", "refused"]


class SettingsError(ValueError):
    """A configuration that this backend does not serve: raised while the model is loaded."""


@dataclass(frozen=True)
class Parameter:
    """How a parameter is read, and what it is worth on either engine; `neutral` values are always taken."""

    parse: Callable[[str], Any] = str
    on_cpu: Use = "used"
    on_gpu: Use = "used"
    neutral: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What a model's configuration asks for; None leaves the choice to the engine."""

    engine: str  # gpt_model_path as written
    max_batch_size: int
    is_decoupled: bool
    max_queue_size: int = 0  # requests that may wait; 0: no limit
    is_input_excluded: bool = False
    cancellation_check_period_ms: int = 100
    stats_check_period_ms: int = 100
    max_tokens_in_cache: int | None = None
    is_cache_reused: bool | None = None
    is_context_chunked: bool | None = None
    scheduler_policy: Policy | None = None
    free_gpu_memory_fraction: float | None = None
    host_cache_bytes: int | None = None
    attention_window: tuple[int, ...] | None = None
    sink_token_length: int | None = None
    gpu_device_ids: tuple[int, ...] = ()
    threads: int | None = None  # of the CPU engine
    is_coalescing: bool = False
    notices: tuple[str, ...] = field(default=())


def _flag(text: str) -> bool:
    # C++ takes these and falls back to the default with a warning for all else (`yes`, `on`): here that is an error.
    if text in ("true", "True", "TRUE", "1"):
        return True
    if text in ("false", "False", "FALSE", "0"):
        return False
    raise ValueError("true or false")


def _whole(text: str) -> int:
    if re.fullmatch(r"\d+", text) is None:
        raise ValueError("a whole number")
    return int(text)


def _wholes(text: str) -> tuple[int, ...]:
    try:
        return tuple(_whole(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("whole numbers separated by commas") from None


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise ValueError("a number from 0 to 1")
    return value


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return text.lower()

    return parse


_IGNORED = Parameter(on_cpu="unused", on_gpu="unused")
_REFUSED = Parameter(on_cpu="refused", on_gpu="refused")
_NOT_UNLESS_FALSE = Parameter(on_cpu="refused", on_gpu="refused", neutral=("false", "False", "FALSE", "0"))

PARAMETERS: Mapping[str, Parameter] = {
    "gpt_model_path": Parameter(),
    "gpt_model_type": Parameter(_one_of("inflight_fused_batching", "inflight_batching")),
    "max_beam_width": Parameter(on_cpu="refused", on_gpu="refused", neutral=("1",)),
    "max_tokens_in_paged_kv_cache": Parameter(_whole),
    "batch_scheduler_policy": Parameter(_one_of("guaranteed_no_evict", "max_utilization")),
    "enable_kv_cache_reuse": Parameter(_flag),
    "enable_chunked_context": Parameter(_flag),
    "exclude_input_in_output": Parameter(_flag),
    "cancellation_check_period_ms": Parameter(_whole),
    "stats_check_period_ms": Parameter(_whole),
    "kv_cache_free_gpu_mem_fraction": Parameter(_fraction, on_cpu="unused"),
    "kv_cache_host_memory_bytes": Parameter(_whole, on_cpu="unused"),
    "gpu_device_ids": Parameter(_wholes, on_cpu="unused"),
    "max_attention_window_size": Parameter(_wholes, on_cpu="refused"),
    "sink_token_length": Parameter(_whole, on_cpu="refused", neutral=("0",)),
    "decoding_mode": Parameter(_one_of("auto", "top_k", "top_p", "top_k_top_p")),
    # Ours: C++ has no such keys and ignores them.
    "intra_op_thread_count": Parameter(_whole, on_gpu="unused"),
    "coalesce_responses": Parameter(_flag),
    # Without a second model, an adapter, a draft or an encoder these have nothing to act on.
    **dict.fromkeys(("encoder_model_path", "cross_kv_cache_fraction", "lora_prefetch_dir", "worker_path"), _REFUSED),
    **dict.fromkeys(("medusa_choices", "eagle_choices"), _REFUSED),
    **dict.fromkeys((f"lookahead_{name}_size" for name in ("window", "ngram", "verification_set")), _REFUSED),
    "speculative_decoding_fast_logits": _NOT_UNLESS_FALSE,
    "enable_trt_overlap": _NOT_UNLESS_FALSE,  # NVIDIA's own Python variant refuses it too
    "num_nodes": Parameter(on_cpu="refused", on_gpu="refused", neutral=("1",)),
    # These change speed or memory, or concern requests that are refused themselves.
    **dict.fromkeys(("kv_cache_onboard_blocks", "normalize_log_probs", "participant_ids"), _IGNORED),
    **dict.fromkeys(("lora_cache_optimal_adapter_size", "lora_cache_max_adapter_size"), _IGNORED),
    **dict.fromkeys(("lora_cache_gpu_memory_fraction", "lora_cache_host_memory_bytes"), _IGNORED),
    **dict.fromkeys(("multi_block_mode", "cuda_graph_mode", "cuda_graph_cache_size", "gpu_weights_percent"), _IGNORED),
    **dict.fromkeys(("enable_context_fmha_fp32_acc", "executor_worker_path", "recv_poll_period_ms"), _IGNORED),
    **dict.fromkeys(("iter_stats_max_iterations", "request_stats_max_iterations"), _IGNORED),
    **dict.fromkeys(("guided_decoding_backend", "xgrammar_tokenizer_info_path", "tokenizer_dir"), _IGNORED),
    # Triton's Python backend reads these itself.
    "FORCE_CPU_ONLY_INPUT_TENSORS": Parameter(),
    "EXECUTION_ENV_PATH": Parameter(),
}


def read_settings(config: Mapping[str, Any], *, is_on_gpu: bool) -> Settings:
    """Return the settings of a model's configuration (Triton's JSON form).

    Raises: SettingsError naming the field, its value and what is possible.
    """
    values, notices = _read_parameters(config.get("parameters", {}), is_on_gpu)
    if not values.get("gpt_model_path"):
        raise SettingsError("parameter gpt_model_path is not set: it names the folder of the engine")
    if config.get("max_batch_size", 0) < 1:
        raise SettingsError("max_batch_size must be at least 1: tensors of this contract have a batch dimension")
    _check_instances(config)
    queue = config.get("dynamic_batching", {}).get("default_queue_policy", {})
    return Settings(
        engine=values["gpt_model_path"],
        max_batch_size=config["max_batch_size"],
        is_decoupled=config.get("model_transaction_policy", {}).get("decoupled", False),
        max_queue_size=int(queue.get("max_queue_size", 0)),
        is_input_excluded=values.get("exclude_input_in_output", False),
        cancellation_check_period_ms=values.get("cancellation_check_period_ms") or 100,
        stats_check_period_ms=values.get("stats_check_period_ms") or 100,
        max_tokens_in_cache=values.get("max_tokens_in_paged_kv_cache"),
        is_cache_reused=values.get("enable_kv_cache_reuse"),
        is_context_chunked=values.get("enable_chunked_context"),
        scheduler_policy=cast("Policy | None", values.get("batch_scheduler_policy")),
        free_gpu_memory_fraction=values.get("kv_cache_free_gpu_mem_fraction"),
        host_cache_bytes=values.get("kv_cache_host_memory_bytes"),
        attention_window=values.get("max_attention_window_size"),
        sink_token_length=values.get("sink_token_length"),
        gpu_device_ids=values.get("gpu_device_ids", ()),
        threads=values.get("intra_op_thread_count"),
        is_coalescing=values.get("coalesce_responses", False),
        notices=notices,
    )


def engine_folder(written: str, model_folder: Path, version: str, model_name: str) -> Path:
    """Return the folder of the engine that `gpt_model_path` means.

    A relative path counts from the version folder. An absolute one that is not there, and leads through
    `/<model>/<version>/`, is the place where a container sees this very repository: it is looked up in it.

    Raises: SettingsError where there is no such folder.
    """
    path = model_folder / version / written
    if path.is_dir():
        return path
    _, mark, rest = written.rpartition(f"/{model_name}/{version}/")
    if mark and (inside := model_folder / version / rest).is_dir():
        return inside
    looked = f" (nor {model_folder / version / rest})" if mark else ""
    raise SettingsError(f"parameter gpt_model_path: there is no folder {path}{looked}")


def _read_parameters(
    parameters: Mapping[str, Mapping[str, str]], is_on_gpu: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    values: dict[str, Any] = {}
    notices = []
    unused = []
    for name, entry in parameters.items():
        text = entry.get("string_value", "").strip()
        if not text or re.fullmatch(r"\$\{.*\}", text):  # what a template left unfilled counts as unset, as in C++
            continue
        known = PARAMETERS.get(name)
        if known is None:
            close = difflib.get_close_matches(name, PARAMETERS, 1)
            notices.append(f"parameter {name} is not known and ignored" + (f"; meant {close[0]}?" if close else ""))
            continue
        use = known.on_gpu if is_on_gpu else known.on_cpu
        if text in known.neutral:
            continue
        if use == "refused":
            raise SettingsError(f"parameter {name} = '{text}': {_why_not(name, known, is_on_gpu)}")
        try:
            values[name] = known.parse(text)
        except ValueError as problem:
            raise SettingsError(f"parameter {name} = '{text}' must be {problem}") from None
        if use == "unused":
            unused.append(name)
    if unused:
        notices.append(f"without effect on this engine: {', '.join(sorted(unused))}")
    return values, tuple(notices)


def _why_not(name: str, known: Parameter, is_on_gpu: bool) -> str:
    if name == "worker_path":
        return "was replaced by executor_worker_path"
    way_out = f"use {known.neutral[0]}, or leave it out" if known.neutral else "leave it out"
    engine = "TensorRT-LLM's LLM API behind this backend" if is_on_gpu else "the CPU engine"
    return f"{engine} cannot do that; {way_out}"


def _check_instances(config: Mapping[str, Any]) -> None:
    # A second instance would be a second engine with a cache of its own, and `stop` would reach one of both.
    count = sum(group.get("count", 1) for group in config.get("instance_group", ()))
    if count > 1:
        raise SettingsError(f"instance_group has {count} instances; one engine batches all requests: use count 1")
