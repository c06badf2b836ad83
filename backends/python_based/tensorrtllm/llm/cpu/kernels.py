"""Run the model: one run reads a piece of one prompt, or makes a token for each of the first rows of the KV cache.

The cache is one array, [2 x layers, rows, kv heads, room, head size] (keys at even places, values at odd ones).
ONNX Runtime works on it in place: pointers into it are bound as past and as present.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import EngineError
from .llama import Llama, read_llama
from .session import open_session

Cache = npt.NDArray[np.float32]


class Kernels:
    """A model with its KV cache. Not for several threads at once.

    Before `generate`, `tokens[i]` is row i's newest token and `lengths[i]` how many the row holds without it.
    After a run, `next` [rows] and `logits` [rows, vocab] hold what was computed, from place 0 on, until the next run.
    """

    def __init__(self, session: Any, llama: Llama, *, rows: int, room: int) -> None:
        self.llama, self.rows, self.room = llama, rows, room
        self.cache = cache_memory((2 * llama.layers, rows, llama.kv_heads, room, llama.head_size))
        self.tokens = np.zeros(rows, np.int64)
        self.lengths = np.zeros(rows, np.int32)
        self.next = np.zeros(rows, np.int64)
        self.logits = np.zeros((rows, llama.vocab), np.float32)
        self._session = session
        self._longest = np.zeros((), np.int32)
        self._prompt = np.zeros(room, np.int64)
        self._prompt_end = np.zeros(1, np.int32)
        self._answers: dict[int, Any] = {}  # bindings by number of rows
        self._readers: dict[int, Any] = {}  # bindings by row

    @property
    def cache_bytes(self) -> int:
        """Size of the KV cache."""
        return self.cache.nbytes

    def read(self, row: int, tokens: npt.NDArray[np.int32], past: int) -> None:
        """Put tokens into a row that holds `past` of them already; `next[0]` is what follows the last."""
        count = len(tokens)
        binding = self._readers.get(row)
        if binding is None:
            binding = self._readers[row] = self._bind(row, 1, self._prompt_end)
        binding.bind_input("input_ids", "cpu", 0, np.int64, (1, count), self._prompt.ctypes.data)
        self._prompt[:count] = tokens
        self._prompt_end[0] = past + count - 1
        self._longest[...] = past + count
        self._session.run_with_iobinding(binding)

    def generate(self, count: int) -> None:
        """Add `tokens[i]` to row i, for i < count, and compute what follows each."""
        binding = self._answers.get(count)
        if binding is None:
            binding = self._answers[count] = self._bind(0, count, self.lengths)
            binding.bind_input("input_ids", "cpu", 0, np.int64, (count, 1), self.tokens.ctypes.data)
        self._longest[...] = self.lengths[:count].max() + 1
        self._session.run_with_iobinding(binding)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another."""
        self.cache[:, target, :, :length] = self.cache[:, source, :, :length]

    def _bind(self, row: int, count: int, last_places: npt.NDArray[np.int32]) -> Any:
        """Bind all but the tokens, for rows `row` to `row + count`."""
        binding = self._session.io_binding()
        binding.bind_input("seqlens_k", "cpu", 0, np.int32, (count,), last_places.ctypes.data)
        binding.bind_input("total_length", "cpu", 0, np.int32, (), self._longest.ctypes.data)
        for layer in range(self.llama.layers):
            for place, part in enumerate(("key", "value")):
                rows = self.cache[2 * layer + place, row : row + count]
                for bind, time in ((binding.bind_input, "past"), (binding.bind_output, "present")):
                    bind(f"{time}_{part}_{layer}", "cpu", 0, np.float32, rows.shape, rows.ctypes.data)
        binding.bind_output("next", "cpu", 0, np.int64, (count,), self.next.ctypes.data)
        binding.bind_output("logits", "cpu", 0, np.float32, (count, self.llama.vocab), self.logits.ctypes.data)
        return binding


def cache_memory(shape: tuple[int, ...]) -> Cache:
    """Return zeros; the system gives memory to what is written.

    Raises: EngineError where it does not promise so much.
    """
    try:
        return np.zeros(shape, np.float32)
    except MemoryError:
        raise EngineError(
            f"the KV cache needs {4 * math.prod(shape) / 2**30:.1f} GiB: lower max_batch_size, max_seq_len or "
            "max_tokens_in_cache"
        ) from None


def open_kernels(folder: Path, *, rows: int, max_seq_len: int, max_tokens: int, threads: int) -> Kernels:
    """Load an engine folder; 0 as `max_seq_len` is the model's own, and as `max_tokens` no limit.

    Raises: EngineError where the folder is none that the CPU engine can run.
    """
    llama = read_llama(folder)
    if max_seq_len > llama.positions:
        raise EngineError(f"max_seq_len {max_seq_len}: the model has max_position_embeddings {llama.positions}")
    length = max_seq_len or llama.positions
    session = open_session(folder, llama, length, threads)
    return Kernels(session, llama, rows=rows, room=min(length, max_tokens or length))
