"""Choose the next token: penalties, bans, temperature, top-k, top-p, seeds, log-probabilities. Many rows at once.

The order is TensorRT-LLM's: temperature, repetition, presence, frequency penalty (the prompt's tokens count as
occurrences), minimal length, bad words, then top-k, and top-p among what top-k left. Log-probabilities are those of the
whole vocabulary before top-k. Source: TensorRT-LLM, penaltyKernels.cu, samplingTopKKernels.cu, samplingTopPKernels.cu.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..request import Request, RequestError

Logits = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
NUCLEUS = 1024  # candidates that are sorted for top-p alone; all are, where these do not hold enough


class History(Protocol):
    """What choosing needs to know of a sequence."""

    tokens: npt.NDArray[np.int32]
    length: int
    chooser: Chooser | None

    @property
    def generated(self) -> int:
        """Number of tokens of the answer so far."""


class Chooser:
    """One request's rules, with its own random numbers: a token depends on the seed, not on who else is generating."""

    def __init__(self, request: Request, vocab: int) -> None:
        sampling = request.sampling
        self.is_greedy = sampling.is_greedy or sampling.temperature == 0
        self.top_k, self.top_p = sampling.top_k, sampling.top_p
        self.needs_log_probs = request.needs_log_probs
        self._request, self._vocab = request, vocab
        self._inverse_temperature = np.float32(1 / sampling.temperature if sampling.temperature else 1)
        self._has_penalties = _has_penalties(request)
        self._counts: npt.NDArray[np.int32] | None = None  # occurrences of each token
        self._counted = 0
        self._random = np.random.Generator(np.random.Philox(key=sampling.seed))

    def uniform(self) -> float:
        """Return the next random number, in [0, 1)."""
        return 0.0 if self.is_greedy else float(self._random.random())

    def adjust(self, logits: Logits, sequence: History) -> None:
        """Change one row of logits as the request asks."""
        request = self._request
        if self._inverse_temperature != 1:
            logits *= self._inverse_temperature
        if self._has_penalties:
            self._penalize(logits, sequence)
        if sequence.generated < request.min_tokens and 0 <= request.end_id < self._vocab:
            logits[request.end_id] = -np.inf
        for word in request.bad_words:
            if _is_begun(word, sequence):
                logits[word[-1]] = -np.inf

    def _penalize(self, logits: Logits, sequence: History) -> None:
        sampling = self._request.sampling
        if self._counts is None:
            self._counts = np.zeros(self._vocab, np.int32)
        np.add.at(self._counts, sequence.tokens[self._counted : sequence.length], 1)
        self._counted = sequence.length
        (seen,) = self._counts.nonzero()
        values = logits[seen]
        if sampling.repetition_penalty != 1:
            penalty = np.float32(sampling.repetition_penalty)
            values = np.where(values < 0, values * penalty, values / penalty)
        values = values - np.float32(sampling.presence_penalty)
        logits[seen] = values - np.float32(sampling.frequency_penalty) * self._counts[seen]


def chooser_of(request: Request, vocab: int) -> Chooser | None:
    """Return a request's rules; None where it always takes the likeliest token and wants no more."""
    is_plain = (
        (request.sampling.is_greedy or request.sampling.temperature == 0)
        and not request.needs_log_probs
        and not request.bad_words
        and not (request.min_tokens and request.end_id >= 0)
        and not _has_penalties(request)
    )
    return None if is_plain else Chooser(request, vocab)


def choose(logits: Logits, sequences: Sequence[History]) -> tuple[list[int], list[float]]:
    """Return a token, and its log-probability, for each sequence; `logits` [sequences, vocab] is changed.

    A token of -1 says that the request's rules leave none. All the sequences have choosers.
    """
    choosers = [sequence.chooser for sequence in sequences if sequence.chooser is not None]
    for row, chooser, sequence in zip(logits, choosers, sequences, strict=True):
        chooser.adjust(row, sequence)
    barren = np.isneginf(logits.max(axis=1))
    logits[barren] = 0
    tokens = logits.argmax(axis=1)
    drawing = [place for place, chooser in enumerate(choosers) if not chooser.is_greedy]
    if drawing:
        top_k = np.array([choosers[place].top_k for place in drawing])
        top_p = np.array([choosers[place].top_p for place in drawing])
        uniform = np.array([choosers[place].uniform() for place in drawing])
        tokens[drawing] = draw(logits[drawing], top_k, top_p, uniform)
    chosen = logits[np.arange(len(tokens)), tokens]
    tokens[barren] = -1
    log_probs = np.zeros(len(tokens), np.float32)
    if any(chooser.needs_log_probs for chooser in choosers):
        highest = logits.max(axis=1)
        log_probs = chosen - highest - np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return tokens.tolist(), log_probs.tolist()


def draw(logits: Logits, top_k: Array, top_p: Array, uniform: Array) -> npt.NDArray[np.int64]:
    """Return a token for each row of `logits` [rows, vocab]; top_k 0 and top_p 0 leave all; `uniform` is in [0, 1).

    A row's token does not depend on the other rows.
    """
    width = max(int(top_k.max()), NUCLEUS if (top_k == 0).any() else 1)
    return _draw(logits, top_k, top_p, uniform, min(width, logits.shape[1]))


def _draw(logits: Logits, top_k: Array, top_p: Array, uniform: Array, width: int) -> npt.NDArray[np.int64]:
    """Draw among the `width` likeliest tokens; among all where those hold too little of a row's probability."""
    vocab = logits.shape[1]
    candidates, weights = _likeliest(logits, width)  # [rows, width], descending
    weights[np.arange(width) >= np.where(top_k > 0, top_k, vocab)[:, None]] = 0
    everything = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True)).sum(axis=1)
    reached = weights.cumsum(axis=1)
    share = np.where((top_p <= 0) | (top_p > 1), 1.0, top_p) * np.where(top_k > 0, reached[:, -1], everything)
    if width < vocab and (reached[:, -1] < share * (1 - 1e-12))[top_k == 0].any():
        return _draw(logits, top_k, top_p, uniform, vocab)
    weights[reached - weights >= share[:, None]] = 0  # the token that reaches top_p is kept
    reached = weights.cumsum(axis=1)
    places = (reached <= (uniform * reached[:, -1])[:, None]).sum(axis=1)
    chosen: npt.NDArray[np.int64] = np.take_along_axis(candidates, places[:, None], axis=1)[:, 0]
    return chosen


def _likeliest(logits: Logits, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the likeliest tokens [rows, width], and e to their logits less the highest; equal ones by number."""
    rows, vocab = logits.shape
    if width < vocab:
        found = np.sort(np.argpartition(-logits, width - 1, axis=1)[:, :width], axis=1)
    else:
        found = np.broadcast_to(np.arange(vocab), (rows, vocab))
    values = np.take_along_axis(logits, found, axis=1).astype(np.float64)
    order = np.argsort(-values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    return np.take_along_axis(found, order, axis=1), np.exp(values - values[:, :1])


def check_sampling(request: Request, vocab: int) -> None:
    """Refuse settings that make no sense.

    Raises: RequestError naming the value and what is allowed.
    """
    sampling = request.sampling
    if not 0 <= sampling.temperature < float("inf"):
        raise RequestError(f"temperature {sampling.temperature:g}: a number from 0 is wanted")
    if not sampling.top_k >= 0:
        raise RequestError(f"top_k {sampling.top_k}: a number from 0 is wanted")
    if not sampling.top_p <= 1:
        raise RequestError(f"top_p {sampling.top_p:g}: a number up to 1 is wanted")
    if not 0 < sampling.repetition_penalty < float("inf"):
        raise RequestError(f"repetition_penalty {sampling.repetition_penalty:g}: a number above 0 is wanted")
    for name in ("presence_penalty", "frequency_penalty"):
        if not np.isfinite(getattr(sampling, name)):
            raise RequestError(f"{name} {getattr(sampling, name):g}: a finite number is wanted")
    if not 0 <= sampling.seed < 1 << 64:
        raise RequestError(f"seed {sampling.seed}: a number from 0 to 2^64 - 1 is wanted")
    for kind, words in (("stop word", request.stop_words), ("bad word", request.bad_words)):
        for word in words:
            if not word or min(word) < 0 or max(word) >= vocab:
                raise RequestError(f"{kind} {list(word)}: tokens from 0 to {vocab - 1} are wanted, at least one")


def _has_penalties(request: Request) -> bool:
    sampling = request.sampling
    return (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty) != (1, 0, 0)


def _is_begun(word: tuple[int, ...], sequence: History) -> bool:
    """Whether the sequence, its prompt included, ends with all of the word but its last token."""
    begun = len(word) - 1
    if not begun:
        return True
    if begun > sequence.length:
        return False
    return tuple(sequence.tokens[sequence.length - begun : sequence.length].tolist()) == word[:-1]
