"""What is filled into NVIDIA's templates: parameters, tensors, and the words that the backend reads of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from tritonsmith.generator.catalog.tensorrtllm.parameters import TENSORRT_LLM, Parameter
from tritonsmith.generator.catalog.tensorrtllm.tensors import Tensor
from tritonsmith.generator.checks.rules.llm.llms import Llm
from tritonsmith.generator.checks.rules.llm.registry import ASSERTED, CREATING, THROWN, llm_check
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.suggest import did_you_mean

_KINDS = {"inflight_fused_batching", "inflight_batching", "V1", "v1"}
_READ_ELSEWHERE = ("worker_path", "EXECUTION_ENV_PATH")  # told about by another rule; Triton's Python backend's own
_OF_LISTS = set("0123456789,;+- \t\n")
_MOST_TOLD = 20  # unknown names of one model
_POSITIVE = ("max_tokens_in_paged_kv_cache", "sink_token_length", "max_attention_window_size")
_PARTS = ("kv_cache_free_gpu_mem_fraction", "cross_kv_cache_fraction")


@llm_check("TS702", "booleans and numbers are written as TensorRT-LLM's backend reads them", phase=Phase.REQUEST)
def parameters_are_read(llm: Llm) -> Iterator[Finding]:
    """What the backend cannot read it takes for absent, with a line in the log: `yes` and `True ` are no booleans.

    So a setting is written, and another one is served.

    Source: tensorrtllm, Lint rule 3; TensorRT-LLM: model_state.cc (GetParameter), tensorrt_llm/1/model.py.
    """
    for name, text in llm.texts.items():
        row = llm.known.get(name)
        if row is not None and not _is_read(llm, row, text):
            default = f": it takes {row.default}" if row.default else ""
            yield llm.error(name, f"parameter {name} is '{text}', which the backend does not read{default}", row.form)


def _is_read(llm: Llm, row: Parameter, text: str) -> bool:
    if row.kind == "bool":
        return text.lower() in ("true", "false", "0", "1") if llm.is_python else llm.is_true(row.name) is not None
    if row.kind in ("int", "fraction"):
        return llm.number(row.name) is not None
    if row.kind in ("ints", "groups"):
        return set(text) <= _OF_LISTS and any(sign.isdecimal() for sign in text)
    if row.name == "batch_scheduler_policy" and not llm.is_python:
        return text in row.choices
    return True


@llm_check("TS719", "parameters are those of the release's TensorRT-LLM")
def parameters_are_known(llm: Llm) -> Iterator[Finding]:
    """A parameter that the backend does not know is never read, so what it says does not happen.

    Source: tensorrtllm, Lint rule 4; config.pbtxt of NVIDIA's templates, version by version.
    """
    release = llm.model.target.release
    others = (name for name in llm.texts if name not in llm.known and name not in _READ_ELSEWHERE)
    for name in islice(others, _MOST_TOLD) if llm.known else ():
        rows = [row for row in TENSORRT_LLM if row.name == name]
        since = f" It came with {rows[0].since}." if rows else did_you_mean(name, llm.known)
        message = f"TensorRT-LLM {release.tensorrt_llm} of Triton {release.name} has no parameter '{name}'.{since}"
        yield llm.warning(name, message, "leave it out: it is not read")


@llm_check("TS709", "tensors are those of the release's TensorRT-LLM", phase=Phase.REQUEST)
def tensors_are_known(llm: Llm) -> Iterator[Finding]:
    """An input of another version's template is accepted by Triton and never read: `min_length` since 1.0 is ignored.

    Source: tensorrtllm, Lint rule 4; NVIDIA's templates, version by version.
    """
    from tritonsmith.generator.catalog.tensorrtllm.rows import TENSORS

    if not llm.known:
        return
    for kind, rows in zip(("input", "output"), TENSORS["tensorrt_llm"], strict=True):
        yield from _of_other_versions(llm, kind, rows)


def _of_other_versions(llm: Llm, kind: str, rows: tuple[Tensor, ...]) -> Iterator[Finding]:
    known = {row.name for row in rows if row.holds_in(llm.version)}
    others = {row.name: row for row in rows if row.name not in known}
    release = llm.model.target.release
    for index, tensor in enumerate(getattr(llm.model.config, kind)):
        row = others.get(tensor.name)
        if row is not None and (row.until or kind == "input"):
            span = f"until {row.until}" if row.until else f"since {row.since}"
            message = f"{kind} {tensor.name}: TensorRT-LLM {span}; Triton {release.name} has {release.tensorrt_llm}"
            remedy = f"take the template of {release.tensorrt_llm}, or say which release it is for (--triton)"
            yield llm.model.error(f"{kind}[{index}]", message, remedy=remedy)


@llm_check(
    "TS710",
    "gpt_model_type is a way of batching",
    triton=f"{CREATING}Invalid gpt_model_type. Must be v1/inflight_batching/inflight_fused_batching.",
)
def batching_is_known(llm: Llm) -> Iterator[Finding]:
    """It is what a template calls `batching_strategy`; the backend has no default and refuses every other word.

    Source: tensorrtllm, Lint rule 5; TensorRT-LLM: model_instance_state.cc (getBatchingTypeFromParams).
    """
    if llm.is_python or "gpt_model_type" not in llm.model.config.parameters:
        return
    text = llm.model.config.parameters["gpt_model_type"].string_value
    if text not in _KINDS:
        message = f"gpt_model_type is '{text}', no way of batching.{did_you_mean(text, _KINDS)}"
        yield llm.error("gpt_model_type", message, "inflight_fused_batching")


@llm_check(
    "TS711",
    "requests are batched in flight",
    triton=f"{THROWN}Static batching type is deprecated. Please use in-flight batching with "
    "CapacitySchedulerPolicy::kSTATIC_BATCH instead....",
    spec="TL003",
)
def batching_is_in_flight(llm: Llm) -> Iterator[Finding]:
    """V1 makes each request wait for the longest answer of its batch. Since 0.20 it is refused.

    Source: tensorrtllm, Lint rule 5; TensorRT-LLM: executorImpl.cpp (createModel).
    """
    if llm.text("gpt_model_type").lower() != "v1":
        return
    if llm.version >= (0, 20):
        message = f"gpt_model_type V1 is gone since TensorRT-LLM 0.20; it is {llm.model.target.release.tensorrt_llm}"
        yield llm.error("gpt_model_type", message, "inflight_fused_batching")
    else:
        message = "gpt_model_type V1 makes each request wait for the longest answer of its batch"
        yield llm.warning("gpt_model_type", message, "inflight_fused_batching")


@llm_check(
    "TS712",
    "what the backend asks for without a default is there",
    triton=f"{CREATING}Cannot find parameter with name: {{name}}",
)
def asked_parameters_are_there(llm: Llm) -> Iterator[Finding]:
    """gpt_model_type, and from 0.19 on what guided decoding reads, even where no request is guided.

    An empty text is enough for the latter.

    Source: TensorRT-LLM: model_instance_state.cc (getBatchingTypeFromParams, getGuidedDecodingConfigFromParams).
    """
    if llm.is_python or not llm.known:
        return
    names = [name for name, row in llm.known.items() if row.is_asked_for]
    missing = [name for name in names if name not in llm.model.config.parameters]
    if missing:
        message = f"parameter {' and '.join(missing)} missing: the backend reads it without a default"
        remedy = ", ".join(f'{name}: "{llm.known[name].default}"' for name in missing)
        yield llm.model.error("parameters", message, remedy=remedy)


@llm_check(
    "TS713",
    "NVIDIA's Python model knows the words of its parameters",
    triton="TritonModelException: {name} value of '{name}' is not supported....",
)
def words_are_known(llm: Llm) -> Iterator[Finding]:
    """Where C++ warns and takes the default, the Python model refuses to load.

    Source: tensorrtllm, Lint rules 5 and 6; TensorRT-LLM: tensorrt_llm/1/model.py (convert_decoding_mode ...).
    """
    for name in ("gpt_model_type", "batch_scheduler_policy", "decoding_mode") if llm.is_python else ():
        row, text = llm.known.get(name), llm.text(name)
        choices = {choice.lower() for choice in row.choices} | {"auto", "v1"} if row is not None else set()
        word = text if name == "decoding_mode" else text.lower()
        if text and row is not None and word not in choices:
            yield llm.error(name, f"parameter {name} is '{text}', which the Python model refuses", row.form)


@llm_check("TS714", "decoding_mode is one of the version's")
def decoding_mode_is_known(llm: Llm) -> Iterator[Finding]:
    """A misspelt mode is a warning in the log; then top_k_top_p decodes, or beam search where beams are wider than 1.

    Source: tensorrtllm, Lint rule 6; TensorRT-LLM: model_instance_state.cc (getExecutorConfigFromParams).
    """
    row, text = llm.known.get("decoding_mode"), llm.text("decoding_mode")
    if row is not None and text and not llm.is_python and text not in row.choices:
        message = f"decoding_mode is '{text}', which the backend does not know.{did_you_mean(text, row.choices)}"
        yield llm.warning("decoding_mode", message, row.form)


@llm_check("TS715", "the worker is named by executor_worker_path", phase=Phase.REQUEST)
def worker_has_its_name(llm: Llm) -> Iterator[Finding]:
    """worker_path is no longer read: an orchestrator spawns the worker of executor_worker_path, or the container's own.

    C++ says so and goes on; the Python model refuses to load as an orchestrator.

    Source: tensorrtllm, Lint rule 7; TensorRT-LLM: model_state.cc (GetExecutorWorkerPath).
    """
    if "worker_path" in llm.texts:
        message = f"worker_path is '{llm.text('worker_path')}', which is no longer read"
        yield llm.error("worker_path", message, "executor_worker_path")


@llm_check("TS716", "sizes of the KV cache are above 0", triton=f"{ASSERTED}{{name}} > 0...")
def sizes_are_positive(llm: Llm) -> Iterator[Finding]:
    """0 is no way to say "without limit": leave the parameter out.

    Source: TensorRT-LLM: kvCacheConfig.cpp.
    """
    for name in _POSITIVE:
        values = [llm.whole(name)] if name != "max_attention_window_size" else _list_of(llm.text(name))
        for value in values:
            if value is not None and value <= 0:
                yield llm.error(name, f"{name} is {llm.text(name)}", "leave it out for no limit")
                break
    for name in _PARTS:
        part = llm.number(name)
        if part is not None and part <= 0:
            yield llm.error(name, f"{name} is {llm.text(name)}", "a part above 0 and below 1, e.g. 0.9")


def _list_of(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if re.fullmatch(r"\s*-?\d{1,18}\s*", word)]


@llm_check("TS717", "parts of memory are below 1", triton=f"{ASSERTED}{{name}} < 1...")
def parts_are_below_one(llm: Llm) -> Iterator[Finding]:
    """The whole of the free memory leaves none for activations, so the executor refuses 1.

    Source: TensorRT-LLM: kvCacheConfig.cpp (setFreeGpuMemoryFraction, setCrossKvCacheFraction).
    """
    for name in _PARTS:
        part = llm.number(name)
        if part is not None and part >= 1:
            yield llm.error(name, f"{name} is {llm.text(name)}", "a part above 0 and below 1, e.g. 0.9")
