"""What postprocessing does: the tokens of each response -> its text. Runs inside Triton.

Inside an ensemble a step sees one response at a time and never whether it is the last. So a stream is recognised by its
request id, which a step sees only where the client set one:
- with an id, the text goes on where the stream's last response ended (one instance of postprocessing needed: with more,
  tokens arrive out of order). A stream ends with its end token, else by silence (`SILENCE_S`), so an id can be used
  again at once after an end token, and after that time otherwise. Characters that were never completed are dropped.
- without one, each response is decoded alone, and what is no whole character at its ends is left out.
Rows of one request cannot be told apart here, except by BATCH_INDEX where the release has it: clients that stream
several rows under one id use tensorrt_llm_bls, which is exact for all of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .detokenise import REPLACEMENT, Detokeniser
from .model_parameters import flag, read_parameters, tokenizer_path
from .tokenizer_folder import TokenizerFolder, read_tokenizer

PARAMETERS = ("tokenizer_dir", "skip_special_tokens")
SILENCE_S = 60.0
MOST_STREAMS = 4096

Ids = npt.NDArray[np.int32]
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Decoding:
    """How a postprocessing model decodes."""

    tokenizer: TokenizerFolder
    skip_special_tokens: bool


def read_decoding(config: Mapping[str, Any], model_folder: str, version: str) -> Decoding:
    """Return what a model configuration's parameters ask for.

    Raises: ValueError, naming the parameter, where they make no sense.
    """
    texts = read_parameters(config, PARAMETERS)
    tokenizer = read_tokenizer(tokenizer_path(texts, model_folder, version))
    return Decoding(tokenizer, flag(texts, "skip_special_tokens", default=True))


class Streams:
    """The texts that are being streamed, by request id; the oldest are forgotten first."""

    def __init__(self, decoding: Decoding, clock: Callable[[], float] = time.monotonic) -> None:
        self._decoding = decoding
        self._clock = clock
        self._known: OrderedDict[Hashable, tuple[float, Detokeniser]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def texts(self, request_id: str, tokens: Ids, lengths: Ids, row: int = 0) -> Texts:
        """Return the text of each beam, [rows * beams] as NVIDIA's postprocessing has it.

        `tokens` is [rows, beams, length], `lengths` [rows, beams]; what lies behind a length is padding.
        """
        beams = [
            (place, sequence[: max(int(length), 0)])
            for place, (sequence, length) in enumerate(
                zip(tokens.reshape(lengths.size, tokens.shape[-1]), lengths.reshape(-1), strict=True)
            )
        ]
        pieces = [self._piece((request_id, row, place), ids.tolist()) for place, ids in beams]
        return np.array([piece.encode() for piece in pieces], dtype=np.object_)

    def _piece(self, key: tuple[str, int, int], ids: list[int]) -> str:
        if not key[0]:
            text = self._new_detokeniser()
            return (text.push(ids) + text.flush()).strip(REPLACEMENT)
        detokeniser = self._take(key)
        piece = detokeniser.push(ids)
        if self._decoding.tokenizer.end_id in ids:
            return piece + detokeniser.flush()
        self._known[key] = (self._clock(), detokeniser)
        self._forget()
        return piece

    def _forget(self) -> None:
        """Let go of the streams that have ended in silence; the longest silent are the first of all."""
        oldest_s = self._clock() - SILENCE_S
        while len(self._known) > MOST_STREAMS or next(iter(self._known.values()))[0] < oldest_s:
            self._known.popitem(last=False)

    def _take(self, key: Hashable) -> Detokeniser:
        """Return a stream's detokeniser, taken out: a new one where the stream is new or was silent too long."""
        last, detokeniser = self._known.pop(key, (0.0, None))
        is_silent = self._clock() - last > SILENCE_S
        return self._new_detokeniser() if detokeniser is None or is_silent else detokeniser

    def _new_detokeniser(self) -> Detokeniser:
        # eager: a run of byte tokens that ends the answer would else be lost, for no response tells that it is the last
        return Detokeniser(
            self._decoding.tokenizer.codec, skip_special_tokens=self._decoding.skip_special_tokens, is_eager=True
        )
