"""How engines guess ahead: which decoding mode goes with which build, and how many tokens a step guesses."""

from __future__ import annotations

import re

from tritonsmith.generator.inspect.engine import Speculation

# What decodes an engine that was built to speculate. Source: TensorRT-LLM: executor (DecodingMode).
DECODING_MODES = {
    Speculation.MEDUSA: "medusa",
    Speculation.LOOKAHEAD_DECODING: "lookahead",
    Speculation.EXPLICIT_DRAFT_TOKENS: "redrafter",
    Speculation.EAGLE: "eagle",
}
LOOKAHEAD = ("lookahead_window_size", "lookahead_ngram_size", "lookahead_verification_set_size")


def lookahead_draft_tokens(window: int, ngram: int, verification_set: int) -> int:
    """Return how many tokens one step guesses. Source: TensorRT-LLM: examples/lookahead/README.md."""
    return (ngram - 2 if ngram > 1 else 0) + (window - 1 + verification_set) * (ngram - 1)


def tree_paths(text: str) -> set[tuple[int, ...]]:
    """Return `{0}, {0, 1}` as {(0,), (0, 1)}."""
    return {tuple(int(n) for n in re.findall(r"\d{1,9}", path)) for path in re.findall(r"\{([^{}]*)\}", text)}
