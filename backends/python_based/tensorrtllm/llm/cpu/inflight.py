"""In-flight batching: in every step a piece of a prompt is read, and each answer in progress grows by a token.

Answers in progress are rows 0 to n - 1 of the KV cache, so that one run serves them all; the prompt that is being read
has a row behind them. Where an answer ends, the last row's keys and values move into its row. Prompts are read one
after another, in the order of arrival, in pieces that do not hold up the answers for long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ..request import Event, Finish, Request
from .blocks import BlockBooks, block_keys
from .kernels import Kernels, cache_memory
from .options import Options
from .sampling import choose
from .sequence import Sequence

Clock = Callable[[], int]  # nanoseconds


class InflightBatch:
    """The requests inside, and the steps that carry them on. For one thread."""

    def __init__(self, kernels: Kernels, options: Options, max_blocks: int, clock: Clock) -> None:
        self.waiting: deque[Sequence] = deque()
        self.reading: Sequence | None = None
        self.running: list[Sequence] = []  # the index is the row
        self.books = BlockBooks(max_blocks, options.tokens_per_block)
        self.iterations = self.scheduled = self.context_tokens = self.paused = 0
        self._kernels, self._options, self._clock = kernels, options, clock
        self._is_greedy_for_room = options.scheduler_policy == "max_utilization"
        llama = kernels.llama
        shape = (max_blocks, 2 * llama.layers, llama.kv_heads, options.tokens_per_block, llama.head_size)
        # of blocks that are known
        self._contents = cache_memory(shape if options.enable_kv_cache_reuse else (0, *shape[1:]))

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.running or self.reading or self.waiting)

    @property
    def cached_bytes(self) -> int:
        """Size of what is kept for reuse."""
        return self._contents.nbytes

    def add(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn."""
        self.waiting.append(sequence)

    def step(self) -> Iterator[list[Event]]:
        """Do one step; yields events as they come: a prompt's first token does not wait for the others' next."""
        self.iterations += 1
        self.context_tokens = 0
        if self.reading or self.waiting:
            yield from self._read_prompts()
        self.scheduled = len(self.running) + (self.reading is not None)
        if self._is_greedy_for_room:
            self._make_room()
        if self.running:
            yield self._generate()

    def remove(self, requests: Iterable[Request], finish: Finish, error: str = "") -> list[Event]:
        """End requests before their time; those that are not inside are left alone."""
        wanted = set(requests)
        rows = [row for row, sequence in enumerate(self.running) if sequence.request in wanted]
        events = [self._end_row(row, finish, error) for row in reversed(rows)]
        if self.reading is not None and self.reading.request in wanted:
            events.append(self._end_reading(finish, error))
        kept: deque[Sequence] = deque()
        for sequence in self.waiting:
            if sequence.request in wanted:
                events.append(sequence.event(finish, error))
                self.paused -= sequence.generated > 0
            else:
                kept.append(sequence)
        self.waiting = kept
        return events

    def remove_all(self, finish: Finish, error: str) -> list[Event]:
        """End every request inside."""
        inside = [*self.running, *self.waiting, *([self.reading] if self.reading else [])]
        return self.remove([sequence.request for sequence in inside], finish, error)

    def _read_prompts(self) -> Iterator[list[Event]]:
        while self.context_tokens < (room := self._options.prompt_tokens(len(self.running))):
            sequence = self.reading or self._admit()
            if sequence is None:
                return
            left = sequence.length - sequence.computed
            count = left if not self._options.enable_chunked_context else min(left, room - self.context_tokens)
            piece = sequence.tokens[sequence.computed : sequence.computed + count]
            try:
                self._kernels.read(sequence.row, piece, sequence.computed)
            except Exception as problem:  # ONNX Runtime's exceptions share no base class but this
                yield [self._end_reading("error", f"the model failed: {problem}")]
                continue
            sequence.computed += count
            self.context_tokens += count
            if sequence.computed == sequence.length:
                yield self._begin_answer(sequence)

    def _admit(self) -> Sequence | None:
        """Take the first waiting sequence, if there is a row and blocks for it; known blocks of it need not be read."""
        row = len(self.running)
        if not self.waiting or row == self._options.max_batch_size:
            return None
        sequence = self.waiting[0]
        keys = self._known_keys(sequence)
        final = len(sequence.tokens)
        spare = 0
        if self._is_greedy_for_room:
            final = min(final, sequence.length + 1)
            spare = len(self.running)  # else the next step would pause it again
        own = self.books.blocks_of(final) - len(keys)
        places = self.books.take(keys, own, spare)
        if places is None:
            return None
        self.waiting.popleft()
        self.paused -= sequence.generated > 0
        self.reading = sequence
        sequence.row, sequence.keys, sequence.own_blocks = row, keys, own
        sequence.computed = len(keys) * self._options.tokens_per_block
        if places:
            self._blocks_of(row, 0, len(places))[...] = self._contents[places]
        if sequence.reused_blocks < 0:
            sequence.reused_blocks = len(keys)
            sequence.first_scheduled_ns = self._clock()
        return sequence

    def _known_keys(self, sequence: Sequence) -> list[bytes]:
        """Return the keys of the blocks that need not be computed; the last token is always, for what follows it."""
        if not self._options.enable_kv_cache_reuse:
            return []
        keys = block_keys(sequence.tokens[: sequence.length - 1], self._options.tokens_per_block)
        return keys[: self.books.count_known(keys)]

    def _begin_answer(self, sequence: Sequence) -> list[Event]:
        """Move a sequence whose prompt is read to the answers, with its first token."""
        self.reading = None
        row = len(self.running)
        if sequence.row != row:  # an answer before it ended meanwhile
            self._kernels.move(sequence.row, row, sequence.computed)
            sequence.row = row
        self.running.append(sequence)
        self._kernels.tokens[row], self._kernels.lengths[row] = self._kernels.next[0], sequence.computed
        self._publish(sequence)
        return self._accept([(row, sequence)], self._kernels.next[:1], self._kernels.logits[:1])

    def _generate(self) -> list[Event]:
        count = len(self.running)
        self._kernels.generate(count)
        self._kernels.lengths[:count] += 1
        self._kernels.tokens[:count] = self._kernels.next[:count]
        for sequence in self.running:
            sequence.computed += 1
        return self._accept(list(enumerate(self.running)), self._kernels.next, self._kernels.logits)

    def _accept(
        self, rows: list[tuple[int, Sequence]], likeliest: npt.NDArray[np.int64], logits: npt.NDArray[np.float32]
    ) -> list[Event]:
        """Give each sequence its next token, and end those whose answer is complete.

        The first of `rows` has its results at place 0 of `likeliest` and `logits`, and so on.
        """
        tokens = likeliest[: len(rows)].tolist()
        choosing = [place for place, (_, sequence) in enumerate(rows) if sequence.chooser is not None]
        if choosing:
            chosen, log_probs = choose(logits[choosing], [rows[place][1] for place in choosing])
            for place, token, log_prob in zip(choosing, chosen, log_probs, strict=True):
                tokens[place] = self._kernels.tokens[rows[place][0]] = token
                if rows[place][1].request.needs_log_probs and token >= 0:
                    rows[place][1].log_probs.append(log_prob)
        now_ns = self._clock()
        events = []
        for (row, sequence), token in zip(reversed(rows), reversed(tokens), strict=True):
            if token < 0:
                error = "its bad words leave no token to choose"
                events.append(self._end_row(row, "error", error))
                continue
            finish = sequence.append(token)
            sequence.last_token_ns = now_ns
            if not sequence.first_token_ns:
                sequence.first_token_ns = now_ns
            if finish:  # rows are visited from the last: what moves into this one has been visited
                events.append(self._end_row(row, finish))
                continue
            if sequence.request.needs_steps:
                events.append(sequence.next_event(token))
        return events

    def _end_row(self, row: int, finish: Finish, error: str = "") -> Event:
        """End an answer; the last row moves into its place."""
        sequence = self.running[row]
        self._publish(sequence)
        event = sequence.event(finish, error)
        self._vacate(row)
        return event

    def _end_reading(self, finish: Finish, error: str = "") -> Event:
        sequence = self.reading
        assert sequence is not None
        self._publish(sequence)
        event = sequence.event(finish, error)
        self.reading = None
        self._give_back(sequence)
        return event

    def _vacate(self, row: int) -> None:
        """Take a sequence out of the answers in progress."""
        sequence, last = self.running[row], self.running.pop()
        if last is not sequence:
            kernels = self._kernels
            kernels.move(last.row, row, last.computed)
            kernels.tokens[row], kernels.lengths[row] = kernels.tokens[last.row], kernels.lengths[last.row]
            self.running[row], last.row = last, row
        self._give_back(sequence)

    def _give_back(self, sequence: Sequence) -> None:
        self.books.release(sequence.keys, sequence.own_blocks)
        sequence.keys, sequence.own_blocks, sequence.computed = [], 0, 0

    def _make_room(self) -> None:
        """Give every answer the block that its next token needs, oldest first; where none is left, the newest pause."""
        for sequence in sorted(self.running, key=lambda sequence: sequence.number):
            while sequence.computed and self.books.blocks_of(sequence.length) > sequence.blocks:
                if self.books.grow():
                    sequence.own_blocks += 1
                else:
                    self._pause_newest()

    def _pause_newest(self) -> None:
        """Put the newest sequence back to the front of those that wait; later it reads its answer so far as a prompt.

        Source: TensorRT-LLM, llmRequest.h (pause).
        """
        if self.reading is not None:
            sequence = self.reading
            self.reading = None
            self._publish(sequence)
            self._give_back(sequence)
        else:
            sequence = max(self.running, key=lambda sequence: sequence.number)
            self._publish(sequence)
            self._vacate(sequence.row)
        self.paused += sequence.generated > 0
        self.waiting.appendleft(sequence)

    def _publish(self, sequence: Sequence) -> None:
        """Keep the content of a sequence's full blocks for others."""
        size, first = self._options.tokens_per_block, len(sequence.keys)
        last = sequence.computed // size
        if not self._options.enable_kv_cache_reuse or last <= first:
            return
        keys = block_keys(sequence.tokens[: last * size], size, sequence.keys)
        places = np.array(self.books.publish(keys[first:]))
        sequence.own_blocks -= last - first
        sequence.keys = keys
        blocks, fresh = self._blocks_of(sequence.row, first, last), places >= 0
        if fresh.all():  # without a copy in between
            self._contents[places] = blocks
        elif fresh.any():
            self._contents[places[fresh]] = blocks[fresh]

    def _blocks_of(self, row: int, first: int, last: int) -> npt.NDArray[np.float32]:
        """Return a view of a row's blocks: [last - first, 2 x layers, kv heads, tokens per block, head size]."""
        size = self._options.tokens_per_block
        part = self._kernels.cache[:, row, :, first * size : last * size]
        blocks = part.reshape(*part.shape[:2], last - first, size, part.shape[3])
        return blocks.transpose(2, 0, 1, 3, 4)
