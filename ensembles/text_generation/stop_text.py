"""Find stop words in text that arrives in pieces. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Iterable


class StopText:
    """Ends a text right behind the first stop word; the word itself stays, as in NVIDIA's tensorrt_llm_bls.

    Of several words the one that is complete first counts, so the text does not depend on how it was cut in pieces.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = [word for word in words if word]
        self._longest = max(map(len, self._words), default=0)
        self._tail = ""  # too short to hold a whole word
        self.is_found = False

    def push(self, piece: str) -> str:
        """Return as much of a piece as lies before the end; nothing once a word was found."""
        if self.is_found or not self._words:
            return "" if self.is_found else piece
        text = self._tail + piece
        places = [(text.find(word), len(word)) for word in self._words]
        ends = [place + length for place, length in places if place >= 0]
        if ends:
            self.is_found = True
            return piece[: min(ends) - len(self._tail)]
        self._tail = text[max(len(text) - self._longest + 1, 0) :]
        return piece
