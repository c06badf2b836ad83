"""The clients of one traffic: they send, take answers, and keep when both happened."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tritonsmith.perf.simulate.clock import Clock
from tritonsmith.perf.simulate.request import Entry, Request
from tritonsmith.perf.simulate.service import Overhead, gamma_factors, nanoseconds
from tritonsmith.perf.simulate.traffic import ClosedLoop, Trace, Traffic, arrival_times

RETRY_NS = 1000  # a closed-loop client whose request is refused sends the next one after at least so long


class Clients:
    """Sends one traffic's requests to `entry`; `ended` is called when one is answered or refused."""

    def __init__(
        self,
        traffic: Traffic,
        entry: Entry,
        clock: Clock,
        overhead: Overhead,
        seed: np.random.SeedSequence,
        ended: Callable[[], None],
    ) -> None:
        self.traffic = traffic
        self.sent = self.refused = 0
        self.sent_ns: list[int] = []  # of those answered
        self.answered_ns: list[int] = []
        self._entry, self._clock, self._ended = entry, clock, ended
        random = np.random.default_rng(seed)
        self._closed = traffic.arrivals if isinstance(traffic.arrivals, ClosedLoop) else None
        self._think_ns = nanoseconds(self._closed.think_us) if self._closed else 0
        self._times = arrival_times(traffic.arrivals, random)
        trace = traffic.arrivals if isinstance(traffic.arrivals, Trace) else Trace(())
        self._rows, self._priorities = iter(trace.rows), iter(trace.priorities)
        self._half_ns = overhead.mean_us * 500
        self._factors = gamma_factors(overhead.variation, random)
        self._sequences = 0

    def start(self) -> None:
        """Set the first arrivals."""
        if self._closed:
            for _ in range(self._closed.clients):
                self._send_at(self._clock.now, self._new())
        else:
            self._plan_arrival()

    def answered(self, request: Request) -> None:
        """Take an answer, which the client has half the overhead later; a closed-loop client then sends again."""
        answered_ns = self._clock.now + self._draw_half()
        self.sent_ns.append(request.sent_ns)
        self.answered_ns.append(answered_ns)
        self._ended()
        if request.sequence and not request.is_end:
            self._send_at(answered_ns + self._think_ns, self._new(request))
        elif self._closed:
            self._send_at(answered_ns + self._think_ns, self._new())

    def failed(self, request: Request) -> None:
        """Take a refusal; a closed-loop client sends its next request."""
        self.refused += 1
        self._ended()
        if self._closed:
            self._send_at(self._clock.now + max(RETRY_NS, self._draw_half() + self._think_ns), self._new())

    def _new(self, before: Request | None = None) -> Request:
        """Make the next request: a single one, the first of a sequence, or the one that follows in its sequence."""
        traffic = self.traffic
        rows, priority = next(self._rows, traffic.rows), next(self._priorities, traffic.priority)
        request = Request(self, 0, rows, priority, traffic.timeout_us)
        if traffic.sequence_length:
            request.place = before.place + 1 if before else 1
            self._sequences += 0 if before else 1
            request.sequence = before.sequence if before else self._sequences
            request.is_end = request.place == traffic.sequence_length
        return request

    def _send_at(self, sent_ns: int, request: Request) -> None:
        request.sent_ns = sent_ns
        self._clock.at(sent_ns + self._draw_half(), self._arrive, request)

    def _arrive(self, request: Request) -> None:
        self.sent += 1
        request.queued_ns = request.enqueued_ns = self._clock.now
        self._entry.enqueue(request)

    def _plan_arrival(self) -> None:
        arrival_ns = next(self._times, None)
        if arrival_ns is not None:
            self._clock.at(arrival_ns, self._send, arrival_ns)

    def _send(self, sent_ns: int) -> None:
        """Send what is due in an open loop."""
        request = self._new()
        if self._half_ns:
            self._send_at(sent_ns, request)
        else:
            request.sent_ns = sent_ns
            self._arrive(request)
        self._plan_arrival()

    def _draw_half(self) -> int:
        return int(self._half_ns * next(self._factors)) if self._half_ns else 0
