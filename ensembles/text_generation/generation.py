"""What tensorrt_llm answers, response by response -> the text of each sequence. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .bls_tensors import Tensors, first
from .detokenise import Detokeniser
from .stop_text import StopText
from .tokenizer_folder import Codec
from .word_lists import as_texts


@dataclass(frozen=True)
class Answer:
    """One response to the client."""

    tensors: Mapping[str, npt.NDArray[Any]]
    is_last: bool


@dataclass(frozen=True)
class Row:
    """One row of a request: its prompt and what ends its answer."""

    prompt: tuple[int, ...]
    max_tokens: int
    end_id: int
    stop_words: tuple[str, ...]


def read_rows(inputs: Tensors, encoded: Tensors) -> list[Row]:
    """Return the rows of a request, from its own inputs and what preprocessing made of them."""
    ids, lengths = encoded["INPUT_ID"], encoded["REQUEST_INPUT_LEN"].reshape(-1)
    stop_words = inputs.get("stop_words")
    return [
        Row(
            prompt=tuple(int(one) for one in ids[place, : lengths[place]]),
            max_tokens=int(encoded["REQUEST_OUTPUT_LEN"].reshape(len(ids), -1)[place, 0]),
            end_id=int(encoded["OUT_END_ID"].reshape(-1)[place]),
            stop_words=() if stop_words is None else tuple(as_texts(stop_words.reshape(len(ids), -1)[place])),
        )
        for place in range(len(ids))
    ]


class Beam:
    """One sequence's text as its tokens arrive."""

    def __init__(self, row: Row, codec: Codec, *, skip_special_tokens: bool) -> None:
        self._row = row
        self._detokeniser = Detokeniser(codec, skip_special_tokens=skip_special_tokens)
        self._stop = StopText(row.stop_words)
        self._count = 0

    @property
    def is_stopped(self) -> bool:
        """Whether a stop word was found in the text."""
        return self._stop.is_found

    def push_prompt(self) -> str:
        """Return the prompt's text, in which no stop word is looked for."""
        return self._detokeniser.push(self._row.prompt)

    def push(self, ids: Sequence[int]) -> str:
        """Return the text of new tokens."""
        self._count += len(ids)
        return self._stop.push(self._detokeniser.push(ids))

    def has_ended_with(self, ids: Sequence[int]) -> bool:
        """Return whether nothing can follow these, the last tokens that were pushed."""
        return self.is_stopped or self._row.end_id in ids or self._count >= self._row.max_tokens

    def flush(self) -> str:
        """Return the rest of the text."""
        return self._stop.push(self._detokeniser.flush())


class Conversation:
    """A request's answers: which sequences there are, which have ended, what each has said."""

    def __init__(self, inputs: Tensors, rows: Sequence[Row], codec: Codec, *, skip_special_tokens: bool) -> None:
        self._rows = rows
        self._codec = codec
        self._skips = skip_special_tokens
        self._is_streaming = bool(first(inputs, "stream"))
        self._is_excluded = None
        if "exclude_input_in_output" in inputs:
            self._is_excluded = bool(first(inputs, "exclude_input_in_output"))
        self._sequences: dict[tuple[int, int], list[Beam]] = {}
        self._ended: set[tuple[int, int]] = set()
        self._count = len(rows) * max(1, int(first(inputs, "num_return_sequences", 1)))

    @property
    def is_over(self) -> bool:
        """Whether every sequence has ended."""
        return len(self._ended) == self._count

    def answers(self, responses: Iterable[Tensors], outputs: frozenset[str]) -> Iterator[Answer]:
        """Yield what the client gets of every response, text and the outputs it wants; none once all have ended."""
        for response in responses:
            if "output_ids" not in response:
                continue  # a last response may be empty
            key = int(first(response, "batch_index")), int(first(response, "sequence_index"))
            if key in self._ended:
                continue
            texts = self._texts(key, response)
            passed = {name: value for name, value in response.items() if name in outputs and name != "text_output"}
            yield Answer({"text_output": texts} | passed if "text_output" in outputs else passed, self.is_over)
            if self.is_over:
                return
        yield from self._rests("text_output" in outputs)

    def _texts(self, key: tuple[int, int], response: Tensors) -> npt.NDArray[np.object_]:
        """Return the text that a response adds to each beam of a sequence, [beams]."""
        row = self._rows[key[0]]
        tokens = response["output_ids"].reshape(-1, response["output_ids"].shape[-1])
        lengths = response["sequence_length"].reshape(-1)
        ids = [beam[: max(int(length), 0)].tolist() for beam, length in zip(tokens, lengths, strict=True)]
        is_new = key not in self._sequences
        if is_new:
            self._sequences[key] = [Beam(row, self._codec, skip_special_tokens=self._skips) for _ in ids]
        beams = self._sequences[key]
        pieces = [""] * len(ids)
        if is_new and not self._is_streaming and self._has_prompt(row, ids):
            pieces = [beam.push_prompt() for beam in beams]
            ids = [one[len(row.prompt) :] for one in ids]
        pieces = [piece + beam.push(one) for piece, beam, one in zip(pieces, beams, ids, strict=True)]
        ended = [beam.has_ended_with(one) for beam, one in zip(beams, ids, strict=True)]
        if not self._is_streaming or all(ended):
            self._ended.add(key)
            pieces = [piece + beam.flush() for piece, beam in zip(pieces, beams, strict=True)]
        return _encoded(pieces)

    def _has_prompt(self, row: Row, ids: Sequence[Sequence[int]]) -> bool:
        """Return whether a whole answer begins with the prompt.

        Where the request does not say, the backend's own parameter decides, which cannot be seen from here.
        """
        if self._is_excluded is not None:
            return not self._is_excluded
        return all(tuple(one[: len(row.prompt)]) == row.prompt for one in ids)

    def _rests(self, has_text: bool) -> Iterator[Answer]:
        """Yield what was held back where tensorrt_llm ended a stream for reasons of its own."""
        open_keys = [key for key in self._sequences if key not in self._ended]
        rests = {key: [beam.flush() for beam in self._sequences[key]] for key in open_keys}
        self._ended.update(open_keys)
        for (row, sequence), pieces in rests.items():
            if has_text and any(pieces):
                tensors: dict[str, npt.NDArray[Any]] = {"text_output": _encoded(pieces)}
                if len(self._rows) > 1:
                    tensors["batch_index"] = np.array([[row]], np.int32)
                if self._count > len(self._rows):
                    tensors["sequence_index"] = np.array([[sequence]], np.int32)
                yield Answer(tensors, is_last=False)


def _encoded(texts: Sequence[str]) -> npt.NDArray[np.object_]:
    return np.array([text.encode() for text in texts], dtype=np.object_)
