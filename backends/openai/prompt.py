"""The prompt of a request, as the pipeline takes it, and how long its answer may become."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tritonsmith.backends.openai.errors import invalid, too_long
from tritonsmith.backends.openai.pipelines import Pipeline
from tritonsmith.backends.openai.request import DEFAULT_COMPLETION_TOKENS, Asked
from tritonsmith.ensembles.text_generation.model_parameters import ClientError

UNKNOWN_ROOM = 2**20  # where nothing says what an engine takes: it shortens the answer to what fits


@dataclass(frozen=True)
class Prompt:
    """A text, its tokens as preprocessing counts them, and the longest answer in tokens."""

    text: str
    tokens: int
    max_tokens: int


def read_prompt(asked: Asked, pipeline: Pipeline) -> Prompt:
    """Return the prompt of a request.

    Raises: ApiError where the chat template refuses the messages, or the engine cannot take so many tokens.
    """
    text = _chat_text(asked, pipeline) if asked.messages else _plain_text(asked, pipeline)
    try:
        tokens = len(pipeline.encoding.ids(text))
    except ClientError as problem:
        raise invalid(str(problem), "messages") from None
    if not tokens:
        raise invalid("the prompt has no tokens", "messages" if asked.messages else "prompt")
    return Prompt(text, tokens, _max_tokens(asked, pipeline, tokens))


def _chat_text(asked: Asked, pipeline: Pipeline) -> str:
    if pipeline.encoding.template is not None:  # preprocessing applies it itself
        return json.dumps(list(asked.messages), ensure_ascii=False)
    if pipeline.template is None:
        raise invalid(f"'{pipeline.name}' has no chat template: ask /v1/completions", "messages")
    try:
        text = pipeline.template.render(asked.messages)
    except ClientError as problem:
        raise invalid(str(problem.__cause__ or problem), "messages") from None
    return _without_second_start(text, pipeline)


def _plain_text(asked: Asked, pipeline: Pipeline) -> str:
    if pipeline.encoding.template is not None:
        raise invalid(f"'{pipeline.name}' takes every prompt for a chat's message: ask /v1/chat/completions", "prompt")
    return asked.prompt


def _without_second_start(text: str, pipeline: Pipeline) -> str:
    """Return a rendered chat without its start token, where preprocessing adds that one too."""
    start = pipeline.encoding.tokenizer.special_tokens.get("bos_token", "")
    if not start or not text.startswith(start):
        return text
    ids = pipeline.encoding.ids(text)
    return text.removeprefix(start) if len(ids) > 1 and ids[0] == ids[1] else text


def _max_tokens(asked: Asked, pipeline: Pipeline, tokens: int) -> int:
    """Return how many tokens the answer may have.

    Raises: ApiError where the prompt, or with it the answer that is asked for, does not fit. The engine would shorten
    the answer without a word; OpenAI's API refuses it.
    """
    limits, param = pipeline.encoding.limits, "messages" if asked.messages else "prompt"
    room = UNKNOWN_ROOM if limits.max_seq_len is None else limits.max_seq_len - tokens
    longest = min(limits.max_input_len or tokens, tokens + room - 1)
    if tokens > longest:
        raise too_long(f"the prompt has {tokens} tokens; this model takes at most {longest}", param)
    if asked.max_tokens is not None and asked.max_tokens > room:
        raise too_long(
            f"the prompt has {tokens} tokens and the answer may have {asked.max_tokens}: that is more than the "
            f"{limits.max_seq_len} tokens of this model's context; the answer may have {room}",
            "max_tokens",
        )
    return asked.max_tokens or (room if asked.messages else min(room, DEFAULT_COMPLETION_TOKENS))
