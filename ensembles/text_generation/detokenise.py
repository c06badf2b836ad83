"""Token ids as they come -> text, piece by piece. Runs inside Triton.

The pieces, joined, are exactly what decoding all ids at once gives: no half character, no space lost or added.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from .tokenizer_folder import Codec

REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that are no character
BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>\Z")
LONG = 12  # tokens: a window that is longer is cut


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for. Source: GPT-2, bytes_to_unicode."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_ALPHABET = _byte_alphabet()


class Detokeniser:
    """Turns the ids of one sequence into text as they arrive.

    Held back is only what a later token can change: the first bytes of a character, and with a byte-fallback
    vocabulary a run of <0x..> tokens until it ends, because `tokenizers` decodes a run as a whole and one bad byte
    spoils all of it. With `is_eager` the whole characters of such a run come at once.
    """

    def __init__(self, codec: Codec, *, skip_special_tokens: bool = True, is_eager: bool = False) -> None:
        self._codec = codec
        self._skipped = codec.special_ids if skip_special_tokens else frozenset()
        self._text: _Text = _ByteText(codec) if codec.is_byte_level_only else _WindowText(codec, is_eager=is_eager)

    def push(self, ids: Iterable[int]) -> str:
        """Return the text that these ids complete; negative ids (padding) and ids without a token are ignored."""
        fresh = [i for i in ids if i not in self._skipped and self._codec.token(i) is not None]
        return self._text.push(fresh) if fresh else ""

    def flush(self) -> str:
        """Return the rest of the text, broken bytes as the decoder shows them, and be as new."""
        return self._text.flush()


class _Text(Protocol):
    def push(self, ids: Sequence[int]) -> str:
        """Return the text that these ids complete."""

    def flush(self) -> str:
        """Return the rest and be as new."""


class _ByteText:
    """The text of a vocabulary whose tokens are bytes: those of a character that is not whole yet are kept.

    Source: tokenizers, pre_tokenizers/byte_level.rs: a token with a character outside the alphabet stands for itself.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # as Rust's from_utf8_lossy, bytes may wait

    def push(self, ids: Sequence[int]) -> str:
        """Return the text that these ids complete."""
        return self._decoder.decode(b"".join(map(self._bytes, ids)))

    def flush(self) -> str:
        """Return U+FFFD for a character that was begun, and be as new."""
        piece = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return piece

    def _bytes(self, token_id: int) -> bytes:
        token = self._codec.token(token_id) or ""
        try:
            return bytes(BYTE_ALPHABET[character] for character in token)
        except KeyError:
            return token.encode()


class _WindowText:
    """The text of any other vocabulary, read through a window: the last tokens whose text is out, then the rest.

    A decoder sees them together, so that what depends on a neighbour (the leading space that only the first token of a
    text loses, `##` of WordPiece) comes out as in the whole.
    """

    def __init__(self, codec: Codec, *, is_eager: bool) -> None:
        self._codec = codec
        self._is_eager = is_eager
        self._reset()

    def _reset(self) -> None:
        self._window: list[int] = []
        self._run = 0  # byte tokens at the window's end
        self._cuts: list[int] = [0]  # places in the window where the text was out and whole
        self._decoded = 0  # tokens of the window that have been looked at
        self._sent = 0  # characters of the window's text that are out

    def push(self, ids: Sequence[int]) -> str:
        """Return the text that these ids complete."""
        self._window += ids
        end = self._end_of_whole_runs(ids) if self._codec.is_byte_fallback else len(self._window)
        if end <= self._decoded:
            return ""
        text = self._codec.decode(self._window[:end])
        held = int(self._codec.is_byte_level and text.endswith(REPLACEMENT))
        whole = max(len(text) - held, self._sent)
        piece = text[self._sent : whole]
        self._decoded, self._sent = end, whole
        if not held:
            self._cuts.append(end)
        if end > LONG:
            self._shorten(held)
        return piece

    def flush(self) -> str:
        """Return the rest and be as new."""
        piece = self._codec.decode(self._window)[self._sent :] if self._window else ""
        self._reset()
        return piece

    def _end_of_whole_runs(self, ids: Sequence[int]) -> int:
        """Return how many tokens of the window lie before a run of byte tokens that may go on.

        Source: tokenizers, decoders/byte_fallback.rs.
        """
        for token_id in ids:
            self._run = self._run + 1 if self._byte(token_id) is not None else 0
        end = len(self._window)
        if not self._is_eager:
            return end - self._run
        last = self._window[max(end - 4, end - self._run) :] if self._run else []
        return end - _unfinished(bytes(self._byte(token_id) or 0 for token_id in last))

    def _byte(self, token_id: int) -> int | None:
        """Return the byte that a token <0x..> stands for, None for other tokens."""
        token = self._codec.token(token_id) or ""
        return int(token[3:5], 16) if BYTE_TOKEN.match(token) else None

    def _shorten(self, held: int) -> None:
        """Drop from the window what no later token can see; a little text that is out stays, cut where it was whole."""
        for cut in reversed(self._cuts):
            out = len(self._codec.decode(self._window[cut : self._decoded])) - held
            if out > 0:
                self._window = self._window[cut:]
                self._cuts = [place - cut for place in self._cuts if place >= cut]
                self._decoded -= cut
                self._sent = out
                return


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end of UTF-8 data begin a character and do not end it."""
    for length in range(1, min(4, len(data) + 1)):
        first = data[-length]
        if first >= 0xC0:  # it says how long the character is
            size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return length if length < size else 0
        if first < 0x80:
            break
    return 0
