"""The CPU engine: a thread that carries an in-flight batch on, and the doors through which requests reach it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from ..base import Limits, OnStep
from ..request import Counters, Event, QueueFullError, Request, RequestError
from .errors import EngineError
from .inflight import InflightBatch
from .kernels import Kernels, open_kernels
from .options import Options
from .sampling import check_sampling
from .sequence import Sequence

CLOSED = "the engine is closed"


def load_engine(folder: Path, options: Options) -> CpuEngine:
    """Load an engine folder: a Hugging Face folder of a LlamaForCausalLM, or what `tritonsmith export` wrote.

    Raises: EngineError naming the file or setting from which no engine can be made.
    """
    kernels = open_kernels(
        folder,
        rows=options.max_batch_size,
        max_seq_len=options.max_seq_len,
        max_tokens=options.max_tokens_in_cache,
        threads=options.threads,
    )
    return CpuEngine(kernels, options)


class CpuEngine:
    """Completes requests on ONNX Runtime's CPU kernels; see `llm.base.Engine` for what each method promises.

    `batching` decides what a step does; a benchmark compares in-flight batching with another.
    """

    def __init__(self, kernels: Kernels, options: Options, batching: type[InflightBatch] = InflightBatch) -> None:
        size = options.tokens_per_block
        tokens = options.max_tokens_in_cache
        max_blocks = tokens // size if tokens else options.max_batch_size * -(-kernels.room // size)
        if not max_blocks:
            raise EngineError(f"max_tokens_in_cache {tokens}: not one block of {size} tokens (tokens_per_block)")
        room = min(kernels.room, max_blocks * size)
        if room < 2:
            raise EngineError(f"max_seq_len {room}: a token of prompt and one of answer need 2")
        self.limits = Limits(
            max_batch_size=options.max_batch_size,
            max_seq_len=room,
            max_input_len=room - 1,
            vocab_size=kernels.llama.vocab,
            max_queue_size=options.max_queue_size,
        )
        self._kernels, self._options = kernels, options
        self._batch = batching(kernels, options, max_blocks, time.monotonic_ns)
        self._wake = threading.Condition()
        self._arrived: list[Sequence] = []
        self._cancelled: list[Request] = []
        self._taken = 0
        self._is_closing = False
        self._on_step: OnStep | None = None
        self._thread = threading.Thread(target=self._work, name="cpu-engine", daemon=True)

    def start(self, on_step: OnStep) -> None:
        """Begin; `on_step` is called from the engine's thread with the events of each run of the model."""
        self._on_step = on_step
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take a request, or raise a RequestError that names the limit."""
        self._check(request)
        with self._wake:
            if self._is_closing:
                raise RequestError(CLOSED)
            self._require_room_in_queue()
            self._arrived.append(Sequence(request, self._taken, self.limits.vocab_size))
            self._taken += 1
            self._wake.notify()

    def cancel(self, request: Request) -> None:
        """End a request early."""
        with self._wake:
            self._cancelled.append(request)
            self._wake.notify()

    def counters(self) -> Counters:
        """Return the present state."""
        batch, books = self._batch, self._batch.books
        running, context = len(batch.running), int(batch.reading is not None)
        waiting = len(batch.waiting) + len(self._arrived)
        used = books.used
        return Counters(
            active=running + context + waiting,
            max_active=self.limits.max_batch_size,
            scheduled=batch.scheduled if running + context else 0,
            context=context,
            waiting=waiting,
            paused=batch.paused,
            context_tokens=batch.context_tokens if running + context else 0,
            generating=running,
            iterations=batch.iterations,
            max_blocks=books.max_blocks,
            free_blocks=books.max_blocks - used,
            used_blocks=used,
            reused_blocks=books.reused,
            tokens_per_block=books.tokens_per_block,
            memory_bytes={"cpu": self._kernels.cache_bytes + batch.cached_bytes, "gpu": 0, "pinned": 0},
        )

    def close(self) -> None:
        """End the thread; requests inside end with an error event."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        """Carry the batch on until closed."""
        while self._take_news():
            try:
                for events in self._batch.step():
                    self._tell(events)
            except Exception as problem:  # ONNX Runtime's exceptions share no base class but this
                self._tell(self._batch.remove_all("error", f"the model failed: {problem}"))
        self._tell(self._batch.remove_all("error", CLOSED))

    def _take_news(self) -> bool:
        """Wait until there is something to do; False when closed."""
        with self._wake:
            while not (self._arrived or self._cancelled or self._is_closing or self._batch.is_busy):
                self._wake.wait()
            arrived, self._arrived = self._arrived, []
            cancelled, self._cancelled = self._cancelled, []
            for sequence in arrived:  # inside the lock: the queue's length is read under it
                self._batch.add(sequence)
        if cancelled:
            self._tell(self._batch.remove(cancelled, "cancelled"))
        return not self._is_closing

    def _tell(self, events: list[Event]) -> None:
        if events and self._on_step is not None:
            self._on_step(events)

    def _require_room_in_queue(self) -> None:
        limit, batch = self.limits.max_queue_size, self._batch
        rows = self.limits.max_batch_size - len(batch.running) - (batch.reading is not None)
        waiting = len(batch.waiting) + len(self._arrived)
        if limit and waiting - rows >= limit:
            raise QueueFullError(f"the queue is full: {waiting} requests wait; max_queue_size is {limit}")

    def _check(self, request: Request) -> None:
        """Raise a RequestError for what can never be served."""
        limits, length = self.limits, len(request.tokens)
        if not length:
            raise RequestError("the prompt has no tokens")
        if length > limits.max_input_len:
            raise RequestError(f"the prompt has {length} tokens; max_input_len is {limits.max_input_len}")
        if request.max_new_tokens < 1:
            raise RequestError(f"max_new_tokens {request.max_new_tokens}: a number from 1 is wanted")
        if length + request.max_new_tokens > limits.max_seq_len:
            raise RequestError(
                f"{length} tokens of prompt and {request.max_new_tokens} new ones exceed max_seq_len "
                f"{limits.max_seq_len}: ask for at most {limits.max_seq_len - length}"
            )
        lowest, highest = int(np.min(request.tokens)), int(np.max(request.tokens))
        if lowest < 0 or highest >= limits.vocab_size:
            token = lowest if lowest < 0 else highest
            raise RequestError(f"token {token} in the prompt: the model has 0 to {limits.vocab_size - 1}")
        check_sampling(request, limits.vocab_size)
