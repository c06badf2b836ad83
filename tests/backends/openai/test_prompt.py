from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tritonsmith.backends.openai.errors import ApiError
from tritonsmith.backends.openai.pipelines import Pipeline
from tritonsmith.backends.openai.prompt import read_prompt
from tritonsmith.backends.openai.request import Asked
from tritonsmith.ensembles.text_generation.tokenise import Limits

HELLO = [{"role": "user", "content": "hello"}]


def test_messages_are_written_by_the_model_s_own_template(pipeline: Pipeline) -> None:
    plain = replace(pipeline, encoding=replace(pipeline.encoding, add_special_tokens=False))
    prompt = read_prompt(Asked("chat", messages=HELLO), plain)
    assert prompt.text == "<|startoftext|><|user|>hello<|assistant|>"
    assert prompt.tokens == len(pipeline.encoding.tokenizer.codec.encode(prompt.text))


def test_a_start_token_that_preprocessing_adds_too_is_written_once(pipeline: Pipeline) -> None:
    prompt = read_prompt(Asked("chat", messages=HELLO), pipeline)
    assert prompt.text == "<|user|>hello<|assistant|>"
    whole = pipeline.encoding.tokenizer.codec.encode("<|startoftext|><|user|>hello<|assistant|>")
    assert pipeline.encoding.ids(prompt.text) == whole
    assert prompt.tokens == len(whole)


def test_where_preprocessing_has_the_template_it_gets_the_messages(pipeline: Pipeline) -> None:
    own = replace(pipeline, encoding=replace(pipeline.encoding, template=pipeline.template))
    prompt = read_prompt(Asked("chat", messages=HELLO), own)
    assert json.loads(prompt.text) == HELLO
    assert prompt.tokens == read_prompt(Asked("chat", messages=HELLO), pipeline).tokens
    with pytest.raises(ApiError, match=r"ask /v1/chat/completions"):
        read_prompt(Asked("chat", prompt="hello"), own)


def test_what_the_template_refuses_is_the_client_s_error(pipeline: Pipeline) -> None:
    with pytest.raises(ApiError, match="the role 'tool' is none of"):
        read_prompt(Asked("chat", messages=[{"role": "tool", "content": "5"}]), pipeline)


def test_a_model_without_a_template_completes_alone(pipeline: Pipeline) -> None:
    plain = replace(pipeline, template=None)
    with pytest.raises(ApiError, match="no chat template"):
        read_prompt(Asked("chat", messages=HELLO), plain)
    assert read_prompt(Asked("chat", prompt="hello"), plain).text == "hello"


def test_a_chat_may_fill_the_context_and_a_completion_has_16_tokens(pipeline: Pipeline) -> None:
    chat = read_prompt(Asked("chat", messages=HELLO), pipeline)
    assert chat.max_tokens == 1024 - chat.tokens
    assert read_prompt(Asked("chat", prompt="hello"), pipeline).max_tokens == 16
    assert read_prompt(Asked("chat", prompt="hello", max_tokens=5), pipeline).max_tokens == 5


def limited(pipeline: Pipeline, **limits: int) -> Pipeline:
    return replace(pipeline, encoding=replace(pipeline.encoding, limits=Limits(**limits)))


def test_what_does_not_fit_is_refused_as_openai_does(pipeline: Pipeline) -> None:
    tokens = read_prompt(Asked("chat", prompt="one two three"), pipeline).tokens
    just = limited(pipeline, max_seq_len=tokens + 3)
    assert read_prompt(Asked("chat", prompt="one two three", max_tokens=3), just).max_tokens == 3
    assert read_prompt(Asked("chat", prompt="one two three"), just).max_tokens == 3
    for asked, narrow in (
        (Asked("chat", prompt="one two three", max_tokens=4), just),
        (Asked("chat", prompt="one two three"), limited(pipeline, max_seq_len=tokens)),
        (Asked("chat", prompt="one two three"), limited(pipeline, max_input_len=tokens - 1, max_seq_len=99)),
    ):
        with pytest.raises(ApiError, match=f"the prompt has {tokens} tokens") as refused:
            read_prompt(asked, narrow)
        assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")


def test_without_known_limits_the_engine_decides(pipeline: Pipeline) -> None:
    unknown = limited(pipeline)
    assert read_prompt(Asked("chat", messages=HELLO), unknown).max_tokens > 100_000
