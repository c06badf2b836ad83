"""Static batching on the CPU engine's kernels, to compare in-flight batching with.

A batch is formed of what waits, and nothing joins it: its prompts are read whole, then every row is computed until the
longest answer ends, those that have ended included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.inflight import InflightBatch
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.sequence import Sequence
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Finish, Request


class StaticBatch(InflightBatch):
    """An in-flight batch that lets nobody in before everybody is out. Knows greedy requests only."""

    _ended: set[Sequence] | None = None

    def step(self) -> Iterator[list[Event]]:
        """Form a batch where there is none, and generate a token for each of its rows."""
        self.iterations += 1
        if not self.running:
            self._ended = set()
            yield from self._form()
        if self.running and len(self._over) < len(self.running):
            yield self._generate()
        if len(self._over) == len(self.running):
            for row in reversed(range(len(self.running))):
                self._vacate(row)

    def remove(self, requests: Iterable[Request], finish: Finish, error: str = "") -> list[Event]:
        """End requests before their time; those that have ended keep their rows, and are left alone."""
        over = {sequence.request for sequence in self._over}
        return super().remove([request for request in requests if request not in over], finish, error)

    @property
    def _over(self) -> set[Sequence]:
        return self._ended if self._ended is not None else set()

    def _form(self) -> Iterator[list[Event]]:
        while (sequence := self._admit()) is not None:
            self._kernels.read(sequence.row, sequence.tokens[sequence.computed : sequence.length], sequence.computed)
            sequence.computed = sequence.length
            yield self._begin_answer(sequence)

    def _generate(self) -> list[Event]:
        count = len(self.running)
        self._kernels.generate(count)
        self._kernels.lengths[:count] += 1
        self._kernels.tokens[:count] = self._kernels.next[:count]
        live = [(row, sequence) for row, sequence in enumerate(self.running) if sequence not in self._over]
        for _, sequence in live:
            sequence.computed += 1
        return self._accept(live, self._kernels.next[[row for row, _ in live]], self._kernels.logits)

    def _end_row(self, row: int, finish: Finish, error: str = "") -> Event:
        sequence = self.running[row]
        self._over.add(sequence)
        return sequence.event(finish, error)
