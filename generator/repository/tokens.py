"""The tokens of a config.pbtxt as Triton's parser, protobuf's in C++, takes them, and where each stands.

Python's parser differs: it takes `1_000`, `+1`, `C:\\models` in a string and blanks beyond ASCII, but not `- 1`.

Source: protobuf: io/tokenizer.cc, text_format.cc (ParserImpl); each difference tried on tritonserver 2.51.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

# What fits nothing else comes as one character: it is refused wherever it stands.
_TOKEN = re.compile(
    r"""[A-Za-z_][A-Za-z0-9_]*
    |[][{}:<>,;]
    |"[^"\\\n\0]*(?:\\[^\n\0][^"\\\n\0]*)*"?
    |'[^'\\\n\0]*(?:\\[^\n\0][^'\\\n\0]*)*'?
    |\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*
    |\#[^\n\0]*
    |[^ \t\r\n\v\f]""",
    re.VERBOSE,
)
_PLAIN_TEXT = re.compile(r"[ -~\t\r\n\v\f]*")
END = ""  # stands behind the last token


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, without comments and what may stand in strings and comments alone."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        """The tokens, and `END` three times: one may look ahead."""
        found: list[str] = _TOKEN.findall(self.text)
        if "#" in self.text or not _PLAIN_TEXT.fullmatch(self.text):
            found = [token for token in found if _is_word(token)]
        return [*found, END, END, END]

    @property
    def strays(self) -> Iterator[tuple[str, int]]:
        """The characters that Triton refuses outside strings and comments, and their positions in the text."""
        if not _PLAIN_TEXT.fullmatch(self.text):
            for match in _TOKEN.finditer(self.text):
                if match[0][0] != "#" and not _is_word(match[0]):
                    yield match[0], match.start()

    @cached_property
    def starts(self) -> list[int]:
        """Their positions in the text; of `END` where the text ends."""
        return [*self._word_starts(), *([len(self.text.rstrip())] * 3)]

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, index: int) -> tuple[int, int]:
        """Return a token's line and column, both from 1; of `END` where the text ends."""
        return self.place_at(self.starts[index])

    def first_place(self, index: int) -> tuple[int, int]:
        """Return what `place` does, for one token of a large text: those behind it are not looked at."""
        return self.place_at(next(islice(self._word_starts(), index, None), len(self.text.rstrip())))

    def _word_starts(self) -> Iterator[int]:
        return (match.start() for match in _TOKEN.finditer(self.text) if _is_word(match[0]))

    def place_at(self, start: int) -> tuple[int, int]:
        """Return the line and column of a position in the text."""
        line = bisect_right(self._lines, start)
        return line, start - self._lines[line - 1] + 1


def _is_word(token: str) -> bool:
    return " " < token[0] < "\x7f" and token[0] != "#"
