"""The tensors of an llmapi request -> a prompt and what is wanted of its answer. Runs inside Triton."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, npt.NDArray[Any]]

DEFAULT_MAX_TOKENS = 32  # SamplingParams' own
_PREFIX = "sampling_param_"
# What no engine here can do, and the value that asks for nothing.
_REFUSED: Mapping[str, tuple[str, int | None]] = {
    f"{_PREFIX}best_of": ("several candidates", 1),
    f"{_PREFIX}beam_width": ("beam search", 1),
    f"{_PREFIX}logits_post_processor_name": ("a logits post-processor", None),
    "image_url": ("images", None),
    **dict.fromkeys(("lora_id", "lora_name", "lora_path"), ("LoRA", None)),
}


class PromptError(ValueError):
    """A request that cannot be served; its message is for the client."""


@dataclass(frozen=True)
class Prompt:
    """One prompt; sampling values are those of the engines' contract: 0 is unset."""

    text: str
    max_tokens: int = DEFAULT_MAX_TOKENS
    stop: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    is_streaming: bool = False
    with_prompt: bool = False
    finish_reason: bool = False
    stop_reason: bool = False
    log_prob: bool = False
    perf_metrics: bool = False


def is_stop(tensors: Tensors) -> bool:
    """Return whether a request wants another one, of the same id, to be stopped."""
    return "stop" in tensors and bool(tensors["stop"].any())


def read_prompt(tensors: Tensors, *, is_decoupled: bool) -> Prompt:
    """Return what a request asks for; nothing in it points into the request's memory.

    Raises: PromptError naming the tensor, its value and what is possible.
    """
    _refuse(tensors)
    texts = _texts(tensors, "text_input")
    if len(texts) != 1:
        raise PromptError(f"text_input has {len(texts)} elements; a request is one prompt")
    is_streaming = _flag(tensors, "streaming")
    if is_streaming and not is_decoupled:
        raise PromptError("streaming needs a decoupled model: `streaming: true` in the pipeline's `with:`")
    max_tokens = _whole(tensors, "max_tokens", DEFAULT_MAX_TOKENS)
    if max_tokens < 1:
        raise PromptError(f"{_PREFIX}max_tokens is {max_tokens}; it must be 1 or more")
    excluded = tensors.get(f"{_PREFIX}exclude_input_from_output")
    return Prompt(
        text=texts[0],
        max_tokens=max_tokens,
        stop=tuple(text for text in _texts(tensors, f"{_PREFIX}stop") if text),
        sampling=_sampling(tensors),
        is_streaming=is_streaming,
        # Said to default to false, but LLM never returns the prompt: only who asks for it gets it.
        with_prompt=excluded is not None and not bool(excluded.any()),
        finish_reason=_flag(tensors, "return_finish_reason"),
        stop_reason=_flag(tensors, "return_stop_reason"),
        log_prob=_flag(tensors, "return_cumulative_logprob"),
        perf_metrics=_flag(tensors, f"{_PREFIX}return_perf_metrics"),
    )


def _refuse(tensors: Tensors) -> None:
    for name, (feature, neutral) in _REFUSED.items():
        if name in tensors and tensors[name].size and (neutral is None or int(tensors[name].flat[0]) != neutral):
            only = "" if neutral is None else f" (only {neutral} is taken)"
            raise PromptError(f"{name}: {feature} cannot be had from this model; leave it out{only}")


def _sampling(tensors: Tensors) -> dict[str, Any]:
    sampling = {
        "temperature": _number(tensors, "temperature", 1.0, least=0.0),
        "top_k": _whole(tensors, "top_k", 0),
        "top_p": _number(tensors, "top_p", 0.0, least=0.0, most=1.0),
        "presence_penalty": _number(tensors, "presence_penalty", 0.0, least=-2.0, most=2.0),
        "frequency_penalty": _number(tensors, "frequency_penalty", 0.0, least=-2.0, most=2.0),
        "seed": _whole(tensors, "seed", 0),
    }
    if sampling["temperature"] == 0.0:  # the LLM API's way to ask for the likeliest
        sampling |= {"temperature": 1.0, "top_k": 1, "top_p": 0.0}
    return sampling


def _texts(tensors: Tensors, name: str) -> list[str]:
    items = tensors[name].reshape(-1).tolist() if name in tensors else []
    try:
        return [item.decode() if isinstance(item, bytes) else str(item) for item in items]
    except UnicodeDecodeError:
        raise PromptError(f"{name} is not UTF-8 text") from None


def _flag(tensors: Tensors, name: str) -> bool:
    return name in tensors and bool(tensors[name].any())


def _whole(tensors: Tensors, name: str, default: int) -> int:
    value = _scalar(tensors, name)
    if value is None:
        return default
    if int(value) < 0:
        raise PromptError(f"{_PREFIX}{name} is {int(value)}; it must not be negative")
    return int(value)


def _number(tensors: Tensors, name: str, default: float, *, least: float, most: float = math.inf) -> float:
    value = _scalar(tensors, name)
    if value is None:
        return default
    if not least <= float(value) <= most:
        end = f" to {most:g}" if most < math.inf else " or more"
        raise PromptError(f"{_PREFIX}{name} is {float(value):g}; it must be {least:g}{end}")
    return float(value)


def _scalar(tensors: Tensors, name: str) -> Any:
    array = tensors.get(f"{_PREFIX}{name}")
    if array is None or not array.size:
        return None
    if array.size > 1:
        raise PromptError(f"{_PREFIX}{name} has {array.size} elements; one is expected")
    return np.asarray(array).reshape(-1)[0]
