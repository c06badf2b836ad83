from __future__ import annotations

from typing import Any

import pytest

from tritonsmith.backends.openai.errors import ApiError
from tritonsmith.backends.openai.request import Sampling, read_chat, read_completion, read_model

HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, **fields}


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": "hello", **fields}


def test_what_is_left_out_has_openai_s_defaults() -> None:
    asked = read_chat(chat())
    assert (asked.model, asked.messages, asked.max_tokens, asked.stop) == ("m", HELLO, None, ())
    assert asked.sampling == Sampling(temperature=1.0, top_p=1.0, seed=None)
    assert not asked.is_streaming
    assert read_completion(completion(temperature=None, stop=None)).sampling == Sampling()


def test_every_field_that_changes_the_answer_is_read() -> None:
    asked = read_completion(
        completion(
            max_tokens=7, stop="x", temperature=0.5, top_p=0.9, seed=-1, presence_penalty=1, frequency_penalty=-2
        )
    )
    assert (asked.prompt, asked.max_tokens, asked.stop) == ("hello", 7, ("x",))
    assert asked.sampling == Sampling(0.5, 0.9, -1, 1.0, -2.0)


def test_a_stream_has_usage_where_it_is_wanted() -> None:
    assert not read_chat(chat(stream=True)).needs_usage
    assert read_chat(chat(stream=True, stream_options={"include_usage": True})).needs_usage


def test_both_names_of_the_limit_are_taken_and_not_together() -> None:
    assert read_chat(chat(max_tokens=3)).max_tokens == 3
    assert read_chat(chat(max_completion_tokens=3)).max_tokens == 3
    with pytest.raises(ApiError, match="not both"):
        read_chat(chat(max_tokens=3, max_completion_tokens=3))


def test_a_message_s_parts_are_joined_and_a_developer_is_a_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "short"}, {"role": "user", "content": parts}, {"role": "assistant"}]
    assert read_chat(chat(messages=messages)).messages == [
        {"role": "system", "content": "short"},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": ""},
    ]


def test_a_list_of_one_prompt_is_a_prompt() -> None:
    assert read_completion(completion(prompt=["one"])).prompt == "one"


@pytest.mark.parametrize("field", ["user", "metadata", "store", "service_tier"])
def test_fields_that_ask_nothing_of_a_model_are_ignored(field: str) -> None:
    assert read_chat(chat(**{field: "x"})) == read_chat(chat())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function"}]}, "tools"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError, match=f"{param} cannot be had") as refused:
        read_chat(chat(**fields))
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, param, "unsupported_parameter")


def test_what_asks_for_nothing_is_taken() -> None:
    read_chat(chat(n=1, logprobs=False, tools=[], response_format={"type": "text"}))
    read_completion(completion(n=1, best_of=1, echo=False, suffix="", logit_bias={}))


def test_an_unknown_field_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ApiError, match="Did you mean 'temperature'") as refused:
        read_chat(chat(temprature=1))
    assert refused.value.code == "unknown_parameter"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"stop": ["a", ""]}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"other": 1}}, "stream_options"),
    ],
)
def test_a_bad_value_is_told_with_its_place(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_chat(chat(**fields))
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize("prompt", [None, "", [], ["a", "b"], [1, 2], 5])
def test_a_prompt_is_one_text(prompt: Any) -> None:
    with pytest.raises(ApiError, match="prompt must be"):
        read_completion({"model": "m", "prompt": prompt})


@pytest.mark.parametrize("body", [[], "text", {}, {"model": ""}, {"model": 5}])
def test_a_body_names_its_model(body: Any) -> None:
    with pytest.raises(ApiError):
        read_model(body)
