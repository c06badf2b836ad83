"""The event loop: what happens when, in whole nanoseconds, and executions that slow each other down.

Executions that want a core progress in virtual time, which passes more slowly the more of them there are; all have the
same slowdown at any moment, so the next to end is always the one with the least virtual end (processor sharing).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from tritonsmith.perf.simulate.service import Contention

Action = Callable[[Any], None]
NEVER = 1 << 62


class Clock:
    """Simulated time. Events of one moment happen in the order in which they were set."""

    def __init__(self, contention: Contention | None) -> None:
        self.now = 0
        self.is_stopped = False
        self._contention = contention
        self._events: list[tuple[int, int, Action, Any]] = []
        self._order = 0
        self._works: list[tuple[float, int, Action, Any]] = []  # by virtual end
        self._virtual = 0.0
        self._since = 0  # when `_virtual` was right
        self._next_end = NEVER

    def at(self, time_ns: int, action: Action, argument: Any) -> None:
        """Call action(argument) at that time."""
        self._order += 1
        heappush(self._events, (time_ns, self._order, action, argument))

    def work(self, duration_ns: int, action: Action, argument: Any) -> None:
        """Call action(argument) after so much work on a core, which others that work slow down."""
        if self._contention is None:
            self.at(self.now + duration_ns, action, argument)
            return
        self._advance()
        self._order += 1
        heappush(self._works, (self._virtual + duration_ns, self._order, action, argument))
        self._plan()

    def run(self, until_ns: int = NEVER) -> None:
        """Let events happen until one stops the clock, none is left, or the next lies after `until_ns`."""
        events = self._events
        while not self.is_stopped:
            time_ns = events[0][0] if events else NEVER
            if self._next_end < time_ns:
                if self._next_end > until_ns:
                    break
                self._end_work()
            elif time_ns <= until_ns and events:
                self.now, _, action, argument = heappop(events)
                action(argument)
            else:
                break
        if not self.is_stopped and until_ns < NEVER:
            self.now = until_ns

    def _end_work(self) -> None:
        self.now = self._next_end
        self._advance()
        _, _, action, argument = heappop(self._works)
        self._plan()
        action(argument)

    def _advance(self) -> None:
        """Bring virtual time up to now."""
        if self._works and self._contention:
            self._virtual += (self.now - self._since) / self._contention.factor(len(self._works))
        self._since = self.now

    def _plan(self) -> None:
        """Find when the next work ends if nothing changes until then."""
        if self._works and self._contention:
            left = max(0.0, self._works[0][0] - self._virtual)
            self._next_end = self.now + int(left * self._contention.factor(len(self._works)) + 0.5)
        else:
            self._next_end, self._virtual = NEVER, 0.0
