"""From tensorrt_llm's responses to what the client reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.ensembles.text_generation.generation import Answer, Conversation, read_rows
from tritonsmith.ensembles.text_generation.tokenizer_folder import read_tokenizer

ROOT = Path(__file__).parents[3]
TOKENIZER = read_tokenizer(ROOT / "ensembles" / "text_generation" / "demo")
CODEC, END = TOKENIZER.codec, TOKENIZER.end_id
STRINGS: list[str] = json.loads((ROOT / "tests" / "data" / "text_generation" / "utf8_200.json").read_text("utf-8"))
PROMPT = CODEC.encode("Say it:")
BOTH = frozenset({"text_output", "cum_log_probs"})


def asked(rows: int = 1, *, stop_words: Sequence[str] = (), max_tokens: int = 1000, **flags: Any) -> Conversation:
    inputs: dict[str, Any] = {name: np.array([[value]] * rows) for name, value in flags.items()}
    if stop_words:
        inputs["stop_words"] = np.array([[word.encode() for word in stop_words]] * rows, dtype=np.object_)
    encoded = {
        "INPUT_ID": np.array([[*PROMPT, 9, 9]] * rows, np.int32),
        "REQUEST_INPUT_LEN": np.array([[len(PROMPT)]] * rows, np.int32),
        "REQUEST_OUTPUT_LEN": np.array([[max_tokens]] * rows, np.int32),
        "OUT_END_ID": np.array([[END]] * rows, np.int32),
    }
    return Conversation(inputs, read_rows(inputs, encoded), CODEC, skip_special_tokens=True)


def response(*beams: Sequence[int], **more: int) -> dict[str, Any]:
    width = max(map(len, beams))
    padded = [[*beam, *[-1] * (width - len(beam))] for beam in beams]
    indices = {name: np.array([[value]], np.int32) for name, value in more.items()}
    lengths = np.array([[len(beam) for beam in beams]], np.int32)
    return {"output_ids": np.array([padded], np.int32), "sequence_length": lengths, **indices}


def one_by_one(ids: Sequence[int], **more: int) -> Iterator[Mapping[str, Any]]:
    return (response([i], **more) for i in ids)


def said(answers: Iterator[Answer]) -> list[str]:
    return [text.decode() for answer in answers for text in answer.tensors["text_output"]]


@pytest.mark.parametrize("end", [[END], []])
def test_streamed_text_is_the_whole_text(end: list[int]) -> None:
    for text in STRINGS:
        ids = CODEC.encode(text) + end
        whole = said(asked(exclude_input_in_output=True).answers([response(ids)], BOTH))
        assert "".join(said(asked(stream=True).answers(one_by_one(ids), BOTH))) == text == "".join(whole)


@pytest.mark.parametrize("flags", [{}, {"exclude_input_in_output": False}])
def test_a_whole_answer_has_the_prompt_before_it(flags: dict[str, Any]) -> None:
    ids = [*PROMPT, *CODEC.encode(" it"), END]
    assert said(asked(**flags).answers([response(ids)], BOTH)) == ["Say it: it"]


def test_a_whole_answer_without_the_prompt_is_recognised() -> None:
    assert said(asked().answers([response([*CODEC.encode(" it"), END])], BOTH)) == [" it"]


@pytest.mark.parametrize(("ids", "limit"), [([5, 6, END], 1000), ([5, 6, 7], 3)])
def test_the_last_piece_is_marked_as_the_last(ids: list[int], limit: int) -> None:
    answers = list(asked(stream=True, max_tokens=limit).answers(one_by_one(ids), BOTH))
    assert [answer.is_last for answer in answers] == [False, False, True]


def test_where_the_engine_ends_for_its_own_reasons_the_rest_comes_after_it() -> None:
    ids = CODEC.encode("a😀")[:-1]
    answers = list(asked(stream=True).answers(one_by_one(ids), BOTH))
    assert said(iter(answers)) == ["a", *[""] * (len(ids) - 1), "\ufffd"]
    assert not any(answer.is_last for answer in answers)


@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_stop_word_in_the_text_ends_it_whatever_its_tokens(is_streaming: bool) -> None:
    ids = [i for piece in ("one t", "w", "o three") for i in CODEC.encode(piece)]
    conversation = asked(stream=is_streaming, stop_words=["two"], exclude_input_in_output=True)
    answers = list(conversation.answers(one_by_one(ids) if is_streaming else [response(ids)], BOTH))
    assert "".join(said(iter(answers))) == "one two"
    assert answers[-1].is_last


def test_a_stop_word_in_the_prompt_ends_nothing() -> None:
    ids = [*PROMPT, *CODEC.encode(" now, do it now")]
    assert said(asked(stop_words=["it"]).answers([response(ids)], BOTH)) == ["Say it: now, do it"]


def test_nothing_is_read_once_everything_has_ended() -> None:
    responses = one_by_one([*CODEC.encode("a."), *CODEC.encode("b.")])
    list(asked(stream=True, stop_words=["."]).answers(responses, BOTH))
    assert next(responses)["output_ids"].tolist() == [[CODEC.encode("b.")[:1]]]


def test_rows_are_told_apart_by_their_index() -> None:
    ids = [CODEC.encode("😀 and é"), CODEC.encode("日本 too")]
    steps = max(map(len, ids))
    responses = [
        response(row[step : step + 1], batch_index=place)
        for step in range(steps)
        for place, row in enumerate(ids)
        if step < len(row)
    ]
    texts = ["", ""]
    for answer, given in zip(asked(2, stream=True).answers(responses, BOTH), responses, strict=True):
        texts[int(given["batch_index"][0, 0])] += answer.tensors["text_output"][0].decode()
    assert texts == ["😀 and é", "日本 too"]


def test_the_last_of_all_rows_is_the_last() -> None:
    responses = [response([5, END], batch_index=1), response([5, END], batch_index=0)]
    answers = asked(2, exclude_input_in_output=True).answers(responses, BOTH)
    assert [answer.is_last for answer in answers] == [False, True]


def test_returned_sequences_are_told_apart_too() -> None:
    responses = [response([5, END], sequence_index=place) for place in (1, 0, 2)]
    answers = asked(num_return_sequences=3, exclude_input_in_output=True).answers(responses, BOTH)
    assert [answer.is_last for answer in answers] == [False, False, True]


def test_rests_of_rows_say_whose_they_are() -> None:
    half = CODEC.encode("😀")[:1]
    *_, rest = asked(2, stream=True).answers([response([5], batch_index=0), response(half, batch_index=1)], BOTH)
    assert rest.tensors["batch_index"].tolist() == [[1]]
    assert rest.tensors["text_output"].tolist() == ["\ufffd".encode()]


def test_each_beam_has_its_own_text() -> None:
    answer = response([*PROMPT, *CODEC.encode(" one")], [*PROMPT, *CODEC.encode(" another one")])
    assert said(asked(beam_width=2).answers([answer], BOTH)) == ["Say it: one", "Say it: another one"]


def test_other_outputs_are_passed_on_where_they_are_wanted() -> None:
    given = response([5]) | {"cum_log_probs": np.array([[0.5]], np.float32)}
    (answer,) = asked().answers([given], BOTH)
    assert answer.tensors["cum_log_probs"].tolist() == [[0.5]]
    assert "sequence_length" not in answer.tensors
    (answer,) = asked().answers([given], frozenset({"cum_log_probs"}))
    assert list(answer.tensors) == ["cum_log_probs"]


def test_an_empty_last_response_says_nothing() -> None:
    assert said(asked(stream=True).answers([response([5]), {}], BOTH)) == [CODEC.decode([5])]
