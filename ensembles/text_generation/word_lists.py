"""A request's stop words, bad words and embedding bias -> what TensorRT-LLM takes. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .model_parameters import ClientError
from .tokenizer_folder import Codec

ANCHORS = ("\n", ".", "a")  # what a word is written behind, to see its ids inside a text

Words = npt.NDArray[np.object_]


def spellings(codec: Codec, word: str) -> list[list[int]]:
    """Return the ids by which a generated text may come to end with a word, most usual first.

    A word has other ids at the start of a text, behind another character and behind a space ("stop", "▁stop", "Ġstop");
    which one a model will produce is not known beforehand, so all of them are listed. A word split at other places
    than the tokenizer would is not found by ids; tensorrt_llm_bls also looks at the text.
    """
    candidates = [codec.encode(word), _behind_anchor(codec, word), _behind_anchor(codec, f" {word}")]
    found: list[list[int]] = []
    for ids in candidates:
        if ids and ids not in found and codec.decode(ids).endswith(word.lstrip()):
            found.append(ids)
    return found or [ids for ids in candidates[:1] if ids]


def _behind_anchor(codec: Codec, text: str) -> list[int]:
    """Return the ids of a text inside another one; none where every anchor melts into it."""
    for anchor in ANCHORS:
        lead = codec.encode(anchor)
        ids = codec.encode(anchor + text)
        if ids[: len(lead)] == lead and codec.decode(ids) == codec.decode(lead) + text:
            return ids[len(lead) :]
    return []


def word_list(codec: Codec, rows: Words | None, batch: int) -> npt.NDArray[np.int32]:
    """Return [batch, 2, n]: all words' ids one after another, padded with 0, and each word's end, padded with -1.

    `rows` is [batch, words], as bytes; without it n is 0. Empty words are skipped.

    Raises: ClientError where a word is not UTF-8.
    """
    if rows is None:
        return np.empty([batch, 2, 0], np.int32)
    lists = [[ids for word in as_texts(row) if word for ids in spellings(codec, word)] for row in rows]
    width = max(1, *(sum(map(len, one)) for one in lists))
    tensor = np.tile(np.array([[0], [-1]], np.int32), (batch, 1, width))
    for row, one in zip(tensor, lists, strict=True):
        flat = [token_id for ids in one for token_id in ids]
        row[0, : len(flat)] = flat
        row[1, : len(one)] = np.cumsum([len(ids) for ids in one])
    return tensor


def embedding_bias(
    codec: Codec, words: Words | None, weights: npt.NDArray[np.float32] | None, *, batch: int, vocab_size: int
) -> npt.NDArray[np.float32]:
    """Return [batch, vocab_size]: what is added to each token's logit; [batch, 0] without words.

    `words` and `weights` are [batch, words]. A word's weight goes to each of its ids, as the tokenizer writes it alone;
    give " word" for the word inside a text.

    Raises: ClientError where words and weights do not pair up.
    """
    if words is None and weights is None:
        return np.empty([batch, 0], np.float32)
    if words is None or weights is None or words.shape != weights.shape:
        shapes = [None if one is None else list(one.shape) for one in (words, weights)]
        raise ClientError(
            f"embedding bias words have the shape {shapes[0]}, their weights {shapes[1]}; each word needs one weight"
        )
    bias = np.zeros([batch, vocab_size], np.float32)
    for row, row_words, row_weights in zip(bias, words, weights, strict=True):
        for word, weight in zip(as_texts(row_words), row_weights, strict=True):
            ids = [token_id for token_id in codec.encode(word) if token_id < vocab_size]
            np.add.at(row, ids, weight)
    return bias


def as_texts(row: Sequence[bytes] | Words) -> list[str]:
    """Return the strings of a tensor's row.

    Raises: ClientError where one is not UTF-8.
    """
    texts = []
    for value in row:
        try:
            texts.append(value.decode() if isinstance(value, bytes) else str(value))
        except UnicodeDecodeError as problem:
            raise ClientError(f"{value[:40]!r} is not UTF-8: {problem.reason} at byte {problem.start}") from problem
    return texts
