"""One answer as it comes: stop words found in it, its tokens counted, its end explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tritonsmith.backends.openai.tensors import Piece

Finish = Literal["", "stop", "length"]


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt and of the answer."""

    prompt_tokens: int
    completion_tokens: int


class StopWords:
    """Cuts a text before the first stop word, which may arrive in pieces: what could be its beginning is held back."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._held = ""
        self.is_found = False

    def push(self, piece: str) -> str:
        """Return as much of the text as is certain; nothing more once a word was found."""
        if self.is_found:
            return ""
        text = self._held + piece
        places = [(place, word) for word in self._words if (place := text.find(word)) >= 0]
        if places:
            # the word that is complete first, so that the text does not depend on how it was cut in pieces
            place, _ = min(places, key=lambda found: (found[0] + len(found[1]), found[0]))
            self.is_found, self._held = True, ""
            return text[:place]
        held = max((_overlap(text, word) for word in self._words), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """Return what was held back, where the text has ended."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, word: str) -> int:
    """Return how many characters at the text's end begin the word."""
    return next((size for size in range(min(len(word) - 1, len(text)), 0, -1) if text.endswith(word[:size])), 0)


class Completion:
    """Follows an answer to its end.

    The contract of TensorRT-LLM does not say why an answer ended. It reached its length where it has as many tokens
    as it may have, and the last response brought text: an end token brings none.
    """

    def __init__(self, prompt_tokens: int, max_tokens: int, stop: Sequence[str], count: Callable[[str], int]) -> None:
        self._prompt_tokens, self._max_tokens = prompt_tokens, max_tokens
        self._stop = StopWords(stop)
        self._count = count  # tokens of a text, where the pipeline does not count them
        self._text = ""
        self._tokens = 0
        self._is_counted = False
        self._last = Piece("")

    @property
    def is_stopped(self) -> bool:
        """Whether a stop word was found: nothing that still comes matters."""
        return self._stop.is_found

    def push(self, piece: Piece) -> str:
        """Return the text that a response adds."""
        self._last = piece
        self._is_counted = self._is_counted or piece.tokens is not None
        self._tokens += piece.tokens or 0
        return self._kept(self._stop.push(piece.text))

    def flush(self) -> str:
        """Return what was held back, where the answer has ended."""
        return self._kept(self._stop.flush())

    @property
    def finish(self) -> Finish:
        """Why the answer ended."""
        if self.is_stopped:
            return "stop"
        if self._last.finish:
            return "length" if self._last.finish == "length" else "stop"
        return "length" if self.usage.completion_tokens >= self._max_tokens and self._last.text else "stop"

    @property
    def usage(self) -> Usage:
        """What it took; the tokens of a stop word count, as they were made."""
        return Usage(self._prompt_tokens, self._tokens if self._is_counted else self._count(self._text))

    def _kept(self, text: str) -> str:
        self._text += text
        return text
