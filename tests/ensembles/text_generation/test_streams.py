"""What postprocessing says: exactly the text where a stream has an id, whole characters alone where it has none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.ensembles.text_generation.streams import MOST_STREAMS, SILENCE_S, Streams, read_decoding

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "ensembles" / "text_generation" / "demo"
STRINGS: list[str] = json.loads((ROOT / "tests" / "data" / "text_generation" / "utf8_200.json").read_text("utf-8"))
DECODING = read_decoding({"parameters": {"tokenizer_dir": {"string_value": str(DEMO)}}}, "/models/post", "1")
CODEC, END = DECODING.tokenizer.codec, DECODING.tokenizer.end_id


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def streams(clock: Clock) -> Streams:
    return Streams(DECODING, clock)


def say(streams: Streams, request_id: str, *beams: list[int], row: int = 0) -> list[str]:
    """Send one response: its beams, padded to the longest."""
    width = max(map(len, beams)) + 1
    tokens = np.array([[beam + [-1] * (width - len(beam)) for beam in beams]], np.int32)
    lengths = np.array([[len(beam) for beam in beams]], np.int32)
    texts = streams.texts(request_id, tokens, lengths, row)
    assert texts.shape == (len(beams),)
    return [text.decode() for text in texts]


def test_streams_with_ids_are_exact_side_by_side(streams: Streams) -> None:
    ids = {str(place): [*CODEC.encode(text), END] for place, text in enumerate(STRINGS)}
    said = dict.fromkeys(ids, "")
    for step in range(max(map(len, ids.values()))):
        for request_id, tokens in ids.items():
            said[request_id] += "".join(say(streams, request_id, [one])[0] for one in tokens[step : step + 1])
    assert list(said.values()) == STRINGS


def test_an_id_can_be_used_again_after_an_end_token(streams: Streams) -> None:
    emoji = CODEC.encode("😀")
    assert len(emoji) > 1
    assert say(streams, "a", [emoji[0]]) == [""]
    assert say(streams, "a", [END]) == ["\ufffd"]
    assert say(streams, "a", emoji) == ["😀"]


def test_a_silent_stream_is_forgotten(streams: Streams, clock: Clock) -> None:
    emoji = CODEC.encode("😀")
    say(streams, "a", emoji[:1])
    clock.now += SILENCE_S
    assert say(streams, "a", emoji[1:]) == ["😀"]
    say(streams, "a", emoji[:1])
    clock.now += SILENCE_S + 1
    assert say(streams, "a", emoji[1:]) != ["😀"]


def test_the_oldest_streams_are_forgotten_first(streams: Streams) -> None:
    emoji = CODEC.encode("😀")
    for number in range(MOST_STREAMS + 1):
        say(streams, str(number), emoji[:1])
    assert say(streams, "1", emoji[1:]) == ["😀"]
    assert say(streams, "0", emoji[1:]) != ["😀"]


def test_beams_and_rows_of_a_stream_have_their_own_text(streams: Streams) -> None:
    emoji, other = CODEC.encode("😀"), CODEC.encode("日本")
    assert say(streams, "a", emoji[:1], other[:1]) == ["", ""]
    assert say(streams, "a", [END], row=1) == [""]
    assert say(streams, "a", emoji[1:], other[1:]) == ["😀", "日本"]


def test_without_an_id_no_half_character_is_said(streams: Streams) -> None:
    emoji = CODEC.encode("😀")
    assert say(streams, "", [*CODEC.encode("so "), *emoji[:1]]) == ["so "]
    assert say(streams, "", [*emoji[1:], *CODEC.encode(" it")]) == [" it"]
    assert say(streams, "", [*CODEC.encode("so 😀"), END]) == ["so 😀"]


def test_an_empty_response_says_nothing(streams: Streams) -> None:
    assert say(streams, "a", []) == [""]
    assert say(streams, "", []) == [""]


def test_a_response_without_tokens_says_nothing(streams: Streams) -> None:
    """What tensorrt_llm sends last where a request was stopped."""
    empty, none = np.zeros((1, 1, 0), np.int32), np.zeros((1, 1), np.int32)
    assert streams.texts("stopped", empty, none).tolist() == [b""]


def test_silent_streams_are_not_kept(streams: Streams, clock: Clock) -> None:
    for number in range(100):
        say(streams, str(number), CODEC.encode("a"))
    clock.now += SILENCE_S + 1
    say(streams, "new", CODEC.encode("a"))
    assert len(streams) == 1
