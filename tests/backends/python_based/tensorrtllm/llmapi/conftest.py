"""TensorRT-LLM's package as its engine here uses it: names and signatures are the real ones, anything else is an error.

Typed from TensorRT-LLM's own reference files, by which it keeps the API stable (tests/unittest/api_stability/
references*/{llm,sampling_params,request_output,completion_output}.yaml, 1.0 to 1.2), and from llmapi/llm_args.py, where
unknown arguments are forbidden. What it makes is an echo of the prompt.
"""

from __future__ import annotations

import asyncio
import enum
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest


@dataclass(slots=True, kw_only=True)
class SamplingParams:
    n: int = 1
    best_of: int | None = None
    use_beam_search: bool = False
    beam_search_diversity_rate: float | None = None
    early_stopping: int | None = None
    max_tokens: int = 32
    min_tokens: int | None = None
    end_id: int | None = None
    pad_id: int | None = None
    seed: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    top_p_decay: float | None = None
    top_p_min: float | None = None
    top_p_reset_ids: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    stop: list[str] | str | None = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    bad: list[str] | str | None = None
    bad_token_ids: list[int] | None = None
    logits_processor: Any = None
    apply_batched_logits_processor: bool = False
    guided_decoding: Any = None
    embedding_bias: Any = None
    lookahead_config: Any = None
    ignore_eos: bool = False
    detokenize: bool = True
    add_special_tokens: bool = True
    truncate_prompt_tokens: int | None = None
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    return_context_logits: bool = False
    return_generation_logits: bool = False
    exclude_input_from_output: bool = True
    return_encoder_output: bool = False
    additional_model_outputs: Any = None
    return_perf_metrics: bool = False
    beam_width_array: list[int] | None = None


@dataclass(slots=True)
class Logprob:
    logprob: float
    rank: int | None = None


@dataclass
class TimingMetrics:
    arrival_time: timedelta = timedelta(seconds=1)
    first_scheduled_time: timedelta = timedelta(seconds=1, microseconds=1)
    first_token_time: timedelta = timedelta(seconds=2)
    last_token_time: timedelta = timedelta(days=1)


@dataclass
class KvCacheMetrics:
    num_total_allocated_blocks: int = 7
    num_new_allocated_blocks: int = 5
    num_reused_blocks: int = 2


@dataclass
class RequestPerfMetrics:
    timing_metrics: TimingMetrics = field(default_factory=TimingMetrics)
    kv_cache_metrics: KvCacheMetrics = field(default_factory=KvCacheMetrics)


@dataclass(slots=True)
class CompletionOutput:
    index: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    cumulative_logprob: float | None = None
    logprobs: list[dict[int, Logprob]] = field(default_factory=list)
    prompt_logprobs: list[dict[int, Logprob]] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    generation_logits: Any = None
    disaggregated_params: Any = None
    request_perf_metrics: RequestPerfMetrics | None = None


class RequestOutput:
    """Each step of the iteration brings a token, as TensorRT-LLM's does; without streaming one step brings all."""

    def __init__(self, prompt: list[int], params: SamplingParams, is_streaming: bool) -> None:
        self.prompt_token_ids, self.outputs = prompt, [CompletionOutput(0)]
        self.finished = False
        self._params, self._is_streaming, self._is_aborted = params, is_streaming, False

    def abort(self) -> None:
        self._is_aborted = True

    def aborted(self) -> bool:
        return self._is_aborted

    def __aiter__(self) -> RequestOutput:
        return self

    async def __anext__(self) -> RequestOutput:
        if self.finished:
            raise StopAsyncIteration
        await asyncio.sleep(0.001)
        self._step()
        while not (self._is_streaming or self.finished):
            self._step()
        return self

    def _step(self) -> None:
        output, params = self.outputs[0], self._params
        if self._is_aborted:
            self._finish("cancelled")
            return
        if self.prompt_token_ids[0] == 666:
            raise RuntimeError("Executor failed")
        token = self.prompt_token_ids[len(output.token_ids) % len(self.prompt_token_ids)]
        output.token_ids.append(token)
        if params.logprobs:
            output.logprobs.append({token: Logprob(-0.5, 1), 0: Logprob(-9.0)})
        if not params.ignore_eos and token == params.end_id:
            self._finish("stop")
        elif token in (params.stop_token_ids or ()):
            assert params.include_stop_str_in_output, "the stop word's token would be cut off"
            self._finish("stop")
        elif len(output.token_ids) == params.max_tokens:
            self._finish("length")

    def _finish(self, reason: str) -> None:
        self.finished = True
        self.outputs[0].finish_reason = reason
        if self._params.return_perf_metrics:
            self.outputs[0].request_perf_metrics = RequestPerfMetrics()


class LLM:
    def __init__(
        self,
        model: str,
        tokenizer: Any = None,
        tokenizer_mode: str = "auto",
        skip_tokenizer_init: bool = False,
        trust_remote_code: bool = False,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        revision: str | None = None,
        tokenizer_revision: str | None = None,
        *,
        pipeline_parallel_size: int = 1,
        max_batch_size: int = 2048,
        max_seq_len: int | None = None,
        enable_chunked_prefill: bool = False,
        kv_cache_config: Any = None,
        scheduler_config: Any = None,
        enable_iter_perf_stats: bool = False,
        return_perf_metrics: bool = False,
    ) -> None:
        self.arguments = {name: value for name, value in locals().items() if name != "self"}
        self.asked: list[tuple[list[int], SamplingParams, bool]] = []
        self.stats: list[dict[str, Any]] = []
        self.is_shut_down = False

    def generate_async(
        self,
        inputs: list[int],
        sampling_params: SamplingParams | None = None,
        lora_request: Any = None,
        prompt_adapter_request: Any = None,
        streaming: bool = False,
        kv_cache_retention_config: Any = None,
        disaggregated_params: Any = None,
    ) -> RequestOutput:
        asyncio.get_running_loop()  # without one the result cannot be awaited
        assert isinstance(sampling_params, SamplingParams)
        assert all(type(token) is int for token in inputs)
        self.asked.append((inputs, sampling_params, streaming))
        return RequestOutput(inputs, sampling_params, streaming)

    def get_stats(self, timeout: float | None = 2) -> list[dict[str, Any]]:
        stats, self.stats = self.stats, []
        return stats

    def shutdown(self) -> None:
        self.is_shut_down = True


class KvCacheConfig:
    def __init__(
        self,
        *,
        enable_block_reuse: bool = True,
        max_tokens: int | None = None,
        max_attention_window: list[int] | None = None,
        sink_token_length: int | None = None,
        free_gpu_memory_fraction: float = 0.9,
        host_cache_size: int | None = None,
    ) -> None:
        self.given = {name: value for name, value in locals().items() if name != "self"}


class CapacitySchedulerPolicy(str, enum.Enum):
    MAX_UTILIZATION = "MAX_UTILIZATION"
    GUARANTEED_NO_EVICT = "GUARANTEED_NO_EVICT"
    STATIC_BATCH = "STATIC_BATCH"


@dataclass(kw_only=True)
class SchedulerConfig:
    capacity_scheduler_policy: CapacitySchedulerPolicy = CapacitySchedulerPolicy.GUARANTEED_NO_EVICT


@pytest.fixture
def sampling_params() -> type[SamplingParams]:
    return SamplingParams


@pytest.fixture
def make_llm() -> Callable[[], LLM]:
    return lambda: LLM("model")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Return a function that makes `import tensorrt_llm` find this one, as a version with or without an engine path."""

    def add(name: str, **members: Any) -> ModuleType:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        for member, value in members.items():
            setattr(module, member, value)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    def make(version: str = "1.2.1", *, has_engine_path: bool = True) -> ModuleType:
        package = add("tensorrt_llm", LLM=LLM, SamplingParams=SamplingParams, __version__=version)
        policies = {"CapacitySchedulerPolicy": CapacitySchedulerPolicy, "SchedulerConfig": SchedulerConfig}
        add("tensorrt_llm.llmapi", KvCacheConfig=KvCacheConfig, **policies)
        if has_engine_path:
            add("tensorrt_llm._tensorrt_engine", LLM=type("EngineLLM", (LLM,), {}))
        return package

    yield make
