from __future__ import annotations

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tritonsmith.backends.openai.answer import Form, models_json
from tritonsmith.backends.openai.completion import Usage

USAGE = Usage(3, 4)


@pytest.mark.parametrize("is_usage_wanted", [False, True])
def test_chunks_are_those_that_openai_s_own_types_take(is_usage_wanted: bool) -> None:
    form = Form("chat", "chatcmpl-1", 5, "m", needs_usage=is_usage_wanted)
    chunks = [*form.opening(), form.text("hi"), *form.closing("stop", USAGE)]
    read = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks]
    with_choices = [chunk.choices[0] for chunk in read if chunk.choices]
    assert [choice.delta.content for choice in with_choices] == ["", "hi", None]
    assert with_choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in with_choices] == [None, None, "stop"]
    assert [chunk.usage.total_tokens for chunk in read if chunk.usage] == ([7] if is_usage_wanted else [])
    assert all(("usage" in chunk) == is_usage_wanted for chunk in chunks)


def test_whole_answers_are_those_that_openai_s_own_types_take() -> None:
    chat = ChatCompletion.model_validate(Form("chat", "i", 5, "m").whole("hi", "length", USAGE), strict=True)
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == ("hi", "length")
    text = Completion.model_validate(Form("completion", "i", 5, "m").whole("hi", "stop", USAGE), strict=True)
    assert (text.choices[0].text, text.object) == ("hi", "text_completion")
    assert text.usage is not None
    assert text.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}) == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
    }


def test_a_completion_s_stream_has_no_opening() -> None:
    form = Form("completion", "i", 5, "m")
    assert form.opening() == []
    assert form.text("hi")["choices"][0]["text"] == "hi"
    assert [chunk["choices"][0]["finish_reason"] for chunk in form.closing("stop", USAGE)] == ["stop"]


def test_models_are_a_list() -> None:
    listed = models_json(["a"], 5)
    assert listed["object"] == "list"
    assert listed["data"] == [{"id": "a", "object": "model", "created": 5, "owned_by": "tritonsmith"}]
