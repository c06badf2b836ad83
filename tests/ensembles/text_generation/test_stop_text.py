import random

import pytest

from tritonsmith.ensembles.text_generation.stop_text import StopText


def through(words: list[str], pieces: list[str]) -> str:
    stop = StopText(words)
    return "".join(stop.push(piece) for piece in pieces)


def test_a_text_ends_right_behind_the_word() -> None:
    assert through(["stop"], ["do not st", "op", " here"]) == "do not stop"


def test_a_word_is_found_however_the_text_is_cut() -> None:
    chance = random.Random(2)
    for _ in range(500):
        text = "".join(chance.choices("ab", k=30))
        words = ["".join(chance.choices("ab", k=chance.randint(1, 7))) for _ in range(chance.randint(1, 3))]
        cuts = sorted(chance.choices(range(31), k=8))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, 30], strict=True)]
        assert through(words, pieces) == through(words, list(text)) == through(words, [text])


@pytest.mark.parametrize("words", [[], [""], ["xyz"]])
def test_without_a_match_the_text_is_whole(words: list[str]) -> None:
    assert through(words, ["one ", "two"]) == "one two"


def test_of_two_words_the_one_that_is_complete_first_counts() -> None:
    assert through(["long word", "wor"], ["a long word"]) == "a long wor"


def test_nothing_follows_a_found_word() -> None:
    stop = StopText(["."])
    assert [stop.push(piece) for piece in ("a.b", "c", "d.")] == ["a.", "", ""]
    assert stop.is_found
