"""The tensors of a Triton request -> rows, each one request to the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base import Limits
from ..request import Request, RequestError, Sampling
from .parameters import Settings
from .triton import Array
from .words import read_words

Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Wishes:
    """What the responses of a row hold besides its tokens."""

    is_streaming: bool = False
    is_input_excluded: bool = False
    log_probs: bool = False
    perf_metrics: bool = False
    num_input_tokens: bool = False
    num_output_tokens: bool = False


@dataclass(frozen=True, eq=False)
class Row:
    """One request to the engine, and where in the Triton request it stands."""

    request: Request
    wishes: Wishes
    batch_index: int = 0
    batch_size: int = 1
    sequence_index: int = 0
    sequences: int = 1


def is_stop(tensors: Tensors) -> bool:
    """Return whether a request wants another one, of the same id, to be stopped."""
    return "stop" in tensors and bool(tensors["stop"].any())


def read_rows(tensors: Tensors, limits: Limits, settings: Settings) -> list[Row]:
    """Return the rows of a request; nothing in them points into the request's memory.

    Raises: RequestError naming the tensor, its value and the limit.
    """
    prompts = tensors.get("input_ids")
    if prompts is None:
        raise RequestError("input_ids is missing")
    if prompts.ndim != 2 or not prompts.size:
        raise RequestError(f"input_ids has shape {list(prompts.shape)}; [batch, length] with a token in it is expected")
    rows = [row for index in range(len(prompts)) for row in _read_row(tensors, index, limits, settings)]
    if len(rows) > 1 and not settings.is_decoupled:
        raise RequestError(
            f"a request for {len(rows)} sequences is answered by {len(rows)} responses, which needs a decoupled model: "
            "set model_transaction_policy { decoupled: true }, or send them one by one"
        )
    return rows


def _read_row(tensors: Tensors, index: int, limits: Limits, settings: Settings) -> list[Row]:
    scalars = _Scalars(tensors, index)
    wishes = _read_wishes(scalars, settings)
    request = _read_request(scalars, limits, wishes)
    sequences = scalars.whole("num_return_sequences", 1, least=1)
    # TensorRT-LLM has no limit; here each is a request of its own, made before any is run
    if sequences > settings.max_batch_size:
        raise RequestError(f"num_return_sequences is {sequences}; max_batch_size is {settings.max_batch_size}")
    requests = [request, *(_read_request(scalars, limits, wishes, seed_offset=n) for n in range(1, sequences))]
    batch_size = scalars.batch_size
    return [Row(one, wishes, index, batch_size, number, sequences) for number, one in enumerate(requests)]


def _read_wishes(scalars: _Scalars, settings: Settings) -> Wishes:
    is_streaming = scalars.flag("streaming")
    if is_streaming and not settings.is_decoupled:
        raise RequestError("streaming needs a decoupled model: set model_transaction_policy { decoupled: true }")
    return Wishes(
        is_streaming=is_streaming,
        is_input_excluded=scalars.flag("exclude_input_in_output", settings.is_input_excluded),
        log_probs=scalars.flag("return_log_probs"),
        # its name before 0.19
        perf_metrics=scalars.flag("return_perf_metrics") or scalars.flag("return_kv_cache_reuse_stats"),
        num_input_tokens=scalars.flag("return_num_input_tokens"),
        num_output_tokens=scalars.flag("return_num_output_tokens"),
    )


def _read_request(scalars: _Scalars, limits: Limits, wishes: Wishes, seed_offset: int = 0) -> Request:
    tokens = _read_prompt(scalars, limits)
    wanted = scalars.whole("request_output_len", None, least=1)
    return Request(
        tokens=tokens,
        # As TensorRT-LLM does (LlmRequest::validate): an answer that does not fit is shortened, a prompt refused.
        max_new_tokens=min(wanted, limits.max_seq_len - len(tokens)),
        end_id=scalars.whole("end_id", -1, least=None),
        min_tokens=scalars.whole("min_tokens", scalars.whole("min_length", 0)),  # min_length before 1.0
        sampling=_read_sampling(scalars, seed_offset),
        stop_words=scalars.words("stop_words_list"),
        bad_words=scalars.words("bad_words_list"),
        needs_log_probs=wishes.log_probs,
        needs_steps=wishes.is_streaming,
    )


def _read_prompt(scalars: _Scalars, limits: Limits) -> Array:
    padded = scalars.row("input_ids")
    assert padded is not None
    length = scalars.whole("input_lengths", len(padded), least=1)
    if length > len(padded):
        raise RequestError(f"input_lengths {length} exceeds the {len(padded)} tokens in input_ids")
    longest = min(limits.max_input_len, limits.max_seq_len - 1)
    if length > longest:
        raise RequestError(
            f"the prompt has {length} tokens; this engine takes {longest} "
            f"(max_input_len {limits.max_input_len}, max_seq_len {limits.max_seq_len})"
        )
    tokens = np.array(padded[:length], np.int32)  # a copy
    if tokens.min() < 0 or tokens.max() >= limits.vocab_size:
        wrong = tokens[(tokens < 0) | (tokens >= limits.vocab_size)][0]
        raise RequestError(f"input_ids holds {wrong}; the vocabulary has {limits.vocab_size} tokens, from 0")
    return tokens


def _read_sampling(scalars: _Scalars, seed_offset: int) -> Sampling:
    temperature = scalars.number("temperature", 1.0)
    if temperature < 0.0:
        raise RequestError(f"temperature {temperature:g} is negative")
    repetition = scalars.number("repetition_penalty", 1.0)
    if repetition <= 0.0:
        raise RequestError(f"repetition_penalty {repetition:g} is not above 0")
    top_p = scalars.number("runtime_top_p", 0.0)
    if top_p > 1.0:
        raise RequestError(f"runtime_top_p {top_p:g} exceeds 1")
    seed = scalars.whole("seed", scalars.whole("random_seed", 0, least=None), least=None)  # random_seed before 1.0
    return Sampling(
        temperature=temperature or 1.0,
        top_k=1 if temperature == 0.0 else scalars.whole("runtime_top_k", 0),  # 0 is the limit: the likeliest token
        top_p=max(top_p, 0.0),
        repetition_penalty=repetition,
        presence_penalty=scalars.number("presence_penalty", 0.0),
        frequency_penalty=scalars.number("frequency_penalty", 0.0),
        seed=(seed + seed_offset) % 2**64,
    )


class _Scalars:
    """One row of the batch, value by value."""

    def __init__(self, tensors: Tensors, index: int) -> None:
        self._tensors, self._index = tensors, index
        self.batch_size = len(tensors["input_ids"])

    def row(self, name: str) -> Array | None:
        array = self._tensors.get(name)
        if array is None or not array.size:
            return None
        if len(array) != self.batch_size:
            raise RequestError(f"{name} has {len(array)} rows; input_ids has {self.batch_size}")
        row: Array = array[self._index]
        return row

    def words(self, name: str) -> tuple[tuple[int, ...], ...]:
        row = self.row(name)
        return () if row is None else read_words(name, row)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._value(name)
        return default if value is None else bool(value)

    def whole(self, name: str, default: int | None, *, least: int | None = 0) -> int:
        value = self._value(name)
        if value is None:
            if default is None:
                raise RequestError(f"{name} is missing")
            return default
        if least is not None and value < least:
            raise RequestError(f"{name} is {value}; it must be at least {least}")
        return int(value)

    def number(self, name: str, default: float) -> float:
        value = self._value(name)
        if value is None:
            return default
        if not math.isfinite(value):
            raise RequestError(f"{name} is {value}")
        return float(value)

    def _value(self, name: str) -> Any:
        row = self.row(name)
        if row is None:
            return None
        if row.size != 1:
            raise RequestError(f"{name} has {row.size} values in a row; 1 is expected")
        return row.item()
