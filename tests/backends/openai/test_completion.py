from __future__ import annotations

import itertools

import pytest

from tritonsmith.backends.openai.completion import Completion, StopWords, Usage
from tritonsmith.backends.openai.tensors import Piece


def cut(pieces: list[str], words: list[str]) -> str:
    stop = StopWords(words)
    return "".join([stop.push(piece) for piece in pieces]) + stop.flush()


def ways_to_cut(text: str) -> list[list[str]]:
    """Every way to cut a short text in pieces."""
    ways = []
    for places in itertools.product([False, True], repeat=len(text) - 1):
        pieces = [text[0]]
        for character, is_cut in zip(text[1:], places, strict=True):
            if is_cut:
                pieces.append(character)
            else:
                pieces[-1] += character
        ways.append(pieces)
    return ways


@pytest.mark.parametrize(
    ("text", "words", "kept"),
    [
        ("abcabd", ["abd"], "abc"),
        ("ababac", ["abac"], "ab"),
        ("abcdef", ["cde", "bc"], "a"),  # complete first
        ("abcdef", ["ef", "xy"], "abcd"),
        ("abcabc", ["cc"], "abcabc"),
        ("aaaaab", ["aab"], "aaa"),
        ("abcdef", ["f"], "abcde"),
    ],
)
def test_a_text_ends_before_its_stop_word_however_it_comes(text: str, words: list[str], kept: str) -> None:
    assert {cut(pieces, words) for pieces in ways_to_cut(text)} == {kept}


def test_only_what_may_begin_a_stop_word_is_held_back() -> None:
    stop = StopWords(["END"])
    assert [stop.push(piece) for piece in ("an E", "NGINE", " E", "N")] == ["an ", "ENGIN", "E ", ""]
    assert stop.flush() == "EN"


def follow(pieces: list[Piece], *, limit: int, stop: tuple[str, ...] = ()) -> tuple[str, str, Usage]:
    completion = Completion(5, limit, stop, lambda text: len(text.split()))
    text = "".join(completion.push(piece) for piece in pieces) + completion.flush()
    return text, completion.finish, completion.usage


def test_an_end_token_ends_an_answer_also_in_its_last_place() -> None:
    pieces = [Piece("a", 1), Piece(" b", 1), Piece("", 1)]
    assert follow(pieces, limit=3) == ("a b", "stop", Usage(5, 3))
    assert follow(pieces, limit=9) == ("a b", "stop", Usage(5, 3))


def test_an_answer_that_has_all_its_tokens_ends_for_its_length() -> None:
    assert follow([Piece("a", 1), Piece(" b", 1)], limit=2) == ("a b", "length", Usage(5, 2))
    assert follow([Piece("a b", 2)], limit=2)[1] == "length"


def test_a_stop_word_is_the_reason_also_where_the_length_is_reached() -> None:
    assert follow([Piece("a", 1), Piece(" b", 1)], limit=2, stop=("b",)) == ("a ", "stop", Usage(5, 2))


def test_what_the_pipeline_says_counts_more_than_what_is_guessed() -> None:
    assert follow([Piece("a", 1, "length")], limit=9)[1] == "length"
    assert follow([Piece("a", 1, "stop")], limit=1)[1] == "stop"


def test_without_numbers_the_text_is_counted() -> None:
    assert follow([Piece("a b c")], limit=9) == ("a b c", "stop", Usage(5, 3))
