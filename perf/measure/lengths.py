"""How long prompts and answers are to be: a number, or a distribution to draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tritonsmith.generator.errors import UsageError

MAX_TOKENS = 1_000_000
# name -> what its two numbers are, and how a length is drawn from them
DISTRIBUTIONS: dict[str, tuple[str, Callable[[np.random.Generator, int, int], float]]] = {
    "uniform": ("LOW:HIGH", lambda random, low, high: random.integers(low, high + 1)),
    "normal": ("MEAN:SD", lambda random, mean, sd: random.normal(mean, sd)),
}


@dataclass(frozen=True)
class Lengths:
    """A distribution of lengths in tokens; `uniform` from `first` to `second`, both included, or `normal`."""

    kind: str
    first: int
    second: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.second else f"{self.kind}:{self.first}:{self.second}"

    def draw(self, random: np.random.Generator) -> int:
        """Return a length, at least 1."""
        _, draw = DISTRIBUTIONS[self.kind]
        return max(1, min(MAX_TOKENS, round(draw(random, self.first, self.second))))


def parse_lengths(text: str, option: str) -> Lengths:
    """Read "128", "uniform:16:256" or "normal:100:20".

    Raises: UsageError.
    """
    kind, *words = text.split(":") if ":" in text else ("uniform", text, text)
    forms = " or ".join(f"{name}:{numbers}" for name, (numbers, _) in DISTRIBUTIONS.items())
    hint = f"write a number of tokens, {forms}, e.g. {option} uniform:16:256"
    if kind not in DISTRIBUTIONS or len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise UsageError(f"{option}: '{text}' is no length", hint=hint)
    first, second = map(int, words)
    if not 1 <= first <= MAX_TOKENS or (kind == "uniform" and not first <= second <= MAX_TOKENS):
        raise UsageError(
            f"{option}: '{text}' is not from 1 to {MAX_TOKENS:,} tokens, the lower number first", hint=hint
        )
    return Lengths(kind, first, second)
