"""Which tensor of tensorrt_llm_bls goes where: the maps of the ensemble, as far as names go. Runs inside Triton.

Source: TensorRT-LLM, all_models/inflight_batcher_llm/ensemble/config.pbtxt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .model_parameters import ClientError

Tensors = Mapping[str, npt.NDArray[Any]]

TO_PREPROCESSING = {
    "text_input": "QUERY",
    "decoder_text_input": "DECODER_QUERY",
    "max_tokens": "REQUEST_OUTPUT_LEN",
    "bad_words": "BAD_WORDS_DICT",
    "stop_words": "STOP_WORDS_DICT",
    "embedding_bias_words": "EMBEDDING_BIAS_WORDS",
    "embedding_bias_weights": "EMBEDDING_BIAS_WEIGHTS",
    "end_id": "END_ID",
    "pad_id": "PAD_ID",
    "prompt_table_extra_id": "PROMPT_TABLE_EXTRA_ID",
}
FROM_PREPROCESSING = {
    "INPUT_ID": "input_ids",
    "REQUEST_INPUT_LEN": "input_lengths",
    "DECODER_INPUT_ID": "decoder_input_ids",
    "REQUEST_DECODER_INPUT_LEN": "decoder_input_lengths",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "STOP_WORDS_IDS": "stop_words_list",
    "BAD_WORDS_IDS": "bad_words_list",
    "EMBEDDING_BIAS": "embedding_bias",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
}
RENAMED = {"top_k": "runtime_top_k", "top_p": "runtime_top_p", "length_penalty": "len_penalty", "stream": "streaming"}
KEPT = frozenset({*TO_PREPROCESSING, "num_draft_tokens", "use_draft_logits"})  # not tensorrt_llm's business
IMAGES = ("image_input", "image_bytes_input", "image_url_input", "video_bytes_input")


def refuse_unbuilt(inputs: Tensors) -> None:
    """Refuse inputs that are in the contract and not built.

    Raises: ClientError, naming the input.
    """
    for name in IMAGES:
        if name in inputs:
            raise ClientError(f"input '{name}' is not supported: this pipeline takes text alone")


def refuse_missing(inputs: Tensors, required: Iterable[str]) -> None:
    """Refuse a request that lacks a required input: Triton counts them, and does not look which they are.

    Raises: ClientError, naming the input.
    """
    for name in sorted(set(required) - inputs.keys()):
        raise ClientError(f"input '{name}' is missing")


def for_preprocessing(inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
    """Return what preprocessing is asked with."""
    return {TO_PREPROCESSING[name]: _with_axis(value) for name, value in inputs.items() if name in TO_PREPROCESSING}


def for_engine(inputs: Tensors, encoded: Tensors) -> dict[str, npt.NDArray[Any]]:
    """Return what tensorrt_llm is asked with: what preprocessing made, and the request's other inputs."""
    own = {RENAMED.get(name, name): _with_axis(value) for name, value in inputs.items() if name not in KEPT}
    return own | {FROM_PREPROCESSING[name]: value for name, value in encoded.items() if name in FROM_PREPROCESSING}


def _with_axis(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a scalar per row as [rows, 1]: an empty `reshape` takes its axis away on the way in."""
    return value.reshape(-1, 1) if value.ndim == 1 else value


def first(inputs: Tensors, name: str, default: float = 0) -> Any:
    """Return the first element of an input, or the default where it is not there."""
    value = inputs.get(name)
    return default if value is None or value.size == 0 else value.reshape(-1)[0]


def to_stop() -> dict[str, npt.NDArray[Any]]:
    """Return the inputs that, sent under a request's id, make tensorrt_llm end that request."""
    one = np.ones([1, 1], np.int32)
    return {"input_ids": one, "input_lengths": one, "request_output_len": one, "stop": np.ones([1, 1], np.bool_)}
