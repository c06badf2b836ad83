"""A request in the LLM API's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..request import Request, RequestError


def sampling_arguments(request: Request) -> dict[str, Any]:
    """Return the arguments of `SamplingParams` for a request.

    Raises: RequestError where it has no words for it.
    """
    sampling = request.sampling
    chosen = {"top_k": 1} if sampling.is_greedy else _random(request)
    return {
        "max_tokens": request.max_new_tokens,
        "end_id": request.end_id,
        "pad_id": max(request.end_id, 0),
        "ignore_eos": request.end_id < 0,
        "min_tokens": request.min_tokens or None,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        **chosen,
        "stop_token_ids": [word[0] for word in request.stop_words if len(word) == 1] or None,
        "include_stop_str_in_output": True,  # else the stop word's token is cut off
        "bad_token_ids": _single_tokens(request.bad_words) or None,
        "logprobs": 1 if request.needs_log_probs else None,
        "detokenize": False,
        "return_perf_metrics": True,
    }


def end_of_stop_word(tokens: Sequence[int], start: int, words: Sequence[tuple[int, ...]]) -> int | None:
    """Return the place after the first stop word of several tokens that ends behind `start`; None where there is none.

    The LLM API takes words of several tokens only as text, which this contract does not have.
    """
    for end in range(start + 1, len(tokens) + 1):
        for word in words:
            if len(word) > 1 and tuple(tokens[max(0, end - len(word)) : end]) == word:
                return end
    return None


def _random(request: Request) -> dict[str, Any]:
    sampling = request.sampling
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k or None,
        "top_p": sampling.top_p or None,
        "seed": sampling.seed,
    }


def _single_tokens(words: Sequence[tuple[int, ...]]) -> list[int]:
    for word in words:
        if len(word) != 1:
            raise RequestError(f"bad_words_list holds a word of {len(word)} tokens; the LLM API takes single tokens")
    return [word[0] for word in words]
