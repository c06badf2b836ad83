"""Stop and bad words as TensorRT-LLM's tensors have them."""

from __future__ import annotations

from ..request import RequestError
from .triton import Array

Words = tuple[tuple[int, ...], ...]


def read_words(name: str, rows: Array) -> Words:
    """Return the words in [2, n]: above all their tokens in one row, below where each ends, padded with -1.

    Raises: RequestError where it has another form.
    """
    if rows.ndim != 2 or rows.shape[0] != 2:
        raise RequestError(f"{name} has shape {list(rows.shape)} per row of the batch; [2, n] is expected")
    tokens, ends = rows.tolist()
    words = []
    start = 0
    for end in ends:
        if end == -1:
            continue
        if not start <= end <= len(tokens):
            raise RequestError(f"{name}: the offset {end} is not between {start} and {len(tokens)}")
        if end > start:
            words.append(tuple(tokens[start:end]))
        start = end
    return tuple(words)
