"""In-flight batching simulated: requests join and leave a replica's batch between steps.

A step adds a token to every sequence whose prompt is read, and reads as many tokens of waiting prompts as still go into
it (chunked context). A request is admitted in the order of arrival, once the cache has room for its prompt and all that
it may generate: a sequence that began is never paused. Steps between two events are alike and are taken at once.

Source: TensorRT-LLM's GUARANTEED_NO_EVICT, the default (docs: useful-runtime-flags), FIRST_COME_FIRST_SERVED chunking,
`max_num_tokens` in a step (docs: tuning-max-batch-size-and-max-num-tokens).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonsmith.perf.plan.core import Serving, StepTimes
from tritonsmith.perf.plan.replicas.arrivals import Arrivals

Floats = npt.NDArray[Any]
NEVER = math.inf


@dataclass(frozen=True)
class Served:
    """What became of requests, in the order of arrival; all [requests]. Times of refused ones are infinite.

    A request is refused where the cache can never hold it. `busy_s` is how long steps took together.
    """

    arrived_s: Floats
    first_token_s: Floats
    answered_s: Floats
    output_tokens: Floats
    busy_s: float

    @property
    def ttft_ms(self) -> Floats:
        """Time to the first token."""
        return (self.first_token_s - self.arrived_s) * 1e3

    @property
    def latency_ms(self) -> Floats:
        """Time to the last token."""
        return (self.answered_s - self.arrived_s) * 1e3

    @property
    def tpot_ms(self) -> Floats:
        """Mean time between a request's tokens; 0 where it has one only."""
        with np.errstate(invalid="ignore"):
            spans_s = self.answered_s - self.first_token_s
        spans_ms: Floats = np.where(np.isinf(self.answered_s), NEVER, spans_s) * 1e3
        per_token_ms: Floats = spans_ms / np.maximum(self.output_tokens - 1, 1)
        return per_token_ms


def serve(
    times: StepTimes, serving: Serving, kv_tokens: float, arrivals: Arrivals, prefix_share: float = 0.0
) -> Served:
    """Return what becomes of arrivals at one replica whose cache holds `kv_tokens`, until all are answered.

    Of every prompt `prefix_share` is in the cache already: it is not read, but takes room all the same.
    """
    replica = _Replica(times, serving, kv_tokens, arrivals, prefix_share)
    replica.run()
    return Served(
        np.array([arrival[0] for arrival in arrivals]),
        np.array(replica.first_token_s),
        np.array(replica.answered_s),
        np.array([arrival[2] for arrival in arrivals]),
        replica.busy_s,
    )


def step_s(times: StepTimes, max_tokens: int, tokens: int, keys: float, sequences: int, context: float) -> float:
    """Return how long a step keeps a replica busy that reads prompts and adds a token to sequences.

    The prompts' tokens look at `keys` others each, in the mean. Beside sequences, for which the weights are read
    anyway, they take what they would of a step that is full of them; throughput.py counts the same way.
    """
    read_s = times.prefill_s(tokens, keys - tokens / 2)
    if not sequences:
        return read_s
    full = max(tokens, max_tokens)
    return max(read_s, times.decode_s(sequences, context) + tokens / full * times.prefill_s(full, keys - full / 2))


class _Replica:
    """A replica that runs. Requests are their places in `arrivals`."""

    def __init__(
        self, times: StepTimes, serving: Serving, kv_tokens: float, arrivals: Arrivals, prefix_share: float
    ) -> None:
        self._times, self._kv_tokens, self._arrivals = times, kv_tokens, arrivals
        self._max_sequences, self._max_tokens = serving.max_batch_size, serving.max_num_tokens
        self._spread = serving.spread
        self._prefix_share = prefix_share
        self.first_token_s = [NEVER] * len(arrivals)
        self.answered_s = [NEVER] * len(arrivals)
        self._behind_s = [0.0] * len(arrivals)  # by how much a request's tokens come after the step that ends
        self.busy_s = self._now_s = 0.0
        self._next = 0  # to arrive
        self._waiting: deque[int] = deque()
        self._reading: deque[list[int]] = deque()  # request, tokens left, tokens behind them
        self._ends: list[tuple[int, int]] = []  # a heap: the step with the last token, request
        self._step = 0
        self._context = 0  # tokens of all sequences that generate
        self._reserved = 0

    def run(self) -> None:
        """Answer everything."""
        arrivals = self._arrivals
        while True:
            self._take_arrived()
            self._admit()
            if self._reading:
                self._read()
            elif self._ends:
                self._generate()
            elif self._next < len(arrivals):
                self._now_s = arrivals[self._next][0]
            else:
                return

    def _take_arrived(self) -> None:
        arrivals, count = self._arrivals, len(self._arrivals)
        while self._next < count and arrivals[self._next][0] <= self._now_s:
            _, inputs, outputs = arrivals[self._next]
            if inputs + outputs <= self._kv_tokens:
                self._waiting.append(self._next)
            self._next += 1

    def _admit(self) -> None:
        while self._waiting and len(self._ends) + len(self._reading) < self._max_sequences:
            _, inputs, outputs = self._arrivals[self._waiting[0]]
            if self._reserved + inputs + outputs > self._kv_tokens:
                return
            self._reserved += inputs + outputs
            behind = min(int(inputs * self._prefix_share), max(inputs - 1, 0))
            self._reading.append([self._waiting.popleft(), inputs - behind, behind])

    def _read(self) -> None:
        """Take one step that reads prompts."""
        sequences = len(self._ends)
        left = max(1, self._max_tokens - sequences)
        tokens, largest, pairs, done = 0, 0, 0.0, []
        while self._reading and left:
            part = self._reading[0]
            size = min(part[1], left)
            pairs += size * (part[2] + size / 2)  # tokens and those before them that each looks at
            tokens, largest, left = tokens + size, max(largest, size), left - size
            part[1], part[2] = part[1] - size, part[2] + size
            if part[1]:
                break
            done.append(self._reading.popleft()[0])
        keys = pairs / max(1, tokens)
        context = self._context / sequences if sequences else 0.0
        self._pass(step_s(self._times, self._max_tokens, tokens, keys, sequences, context), 1)
        behind_s = self._behind(tokens, largest, keys) if done else 0.0
        for request in done:
            self._behind_s[request] = behind_s
            self._begin(request)

    def _behind(self, tokens: int, largest: int, keys: float) -> float:
        """Return by how much a prompt's first token comes after the replica can take its next step.

        It passes all stages of a pipeline, and its rank of attention's data parallelism reads it alone.
        """
        if self._spread.pipeline == self._spread.data == 1:
            return 0.0
        alone = max(tokens, self._spread.data * largest)
        through_s = self._spread.pipeline * self._times.prefill_s(alone, keys - alone / 2)
        return max(0.0, through_s - self._times.prefill_s(tokens, keys - tokens / 2))

    def _generate(self) -> None:
        """Take steps until a sequence ends or a request comes that may join."""
        sequences = len(self._ends)
        steps = self._ends[0][0] - self._step
        context = self._context / sequences
        one_s = self._times.decode_s(sequences, context)
        if not self._waiting and self._next < len(self._arrivals):
            until_s = self._arrivals[self._next][0] - self._now_s
            if until_s < steps * one_s:
                steps = max(1, math.ceil(until_s / one_s))
        if steps > 1:
            one_s = self._times.decode_s(sequences, context + (steps - 1) / 2)
        self._pass(steps * one_s, steps)

    def _pass(self, seconds: float, steps: int) -> None:
        """Let time pass in which every sequence gets so many tokens; those that have all of theirs leave."""
        self._now_s += seconds
        self.busy_s += seconds
        self._step += steps
        self._context += steps * len(self._ends)
        while self._ends and self._ends[0][0] <= self._step:
            self._end(heappop(self._ends)[1])

    def _begin(self, request: int) -> None:
        """Give a request whose prompt is read its first token."""
        _, inputs, outputs = self._arrivals[request]
        self.first_token_s[request] = self._now_s + self._behind_s[request]
        self._context += inputs + 1
        if outputs > 1:
            heappush(self._ends, (self._step + outputs - 1, request))
        else:
            self._context += outputs - 1
            self._end(request)

    def _end(self, request: int) -> None:
        _, inputs, outputs = self._arrivals[request]
        self.answered_s[request] = self._now_s + self._behind_s[request]
        self._context -= inputs + outputs
        self._reserved -= inputs + outputs
