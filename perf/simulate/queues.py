"""The dynamic batcher's queues: a plain one, and one with priorities and policies.

Source: core r24.10 src/scheduler_utils.cc PriorityQueue, PolicyQueue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from tritonsmith.perf.simulate.request import Request
from tritonsmith.perf.simulate.system import QueuePolicy


class Fifo(deque[Request]):
    """Requests in the order in which they came; none is ever refused."""

    def __init__(self) -> None:
        super().__init__()
        self.rejected: list[Request] = []  # stays empty

    def push(self, request: Request, now_ns: int) -> bool:
        """Add a request; return whether there was room."""
        self.append(request)
        return True

    def candidates(self, now_ns: int) -> Iterable[Request]:
        """Return the requests in the order in which batches take them."""
        return self

    def take(self, count: int) -> list[Request]:
        """Remove the first candidates."""
        if count == 1:
            return [self.popleft()]
        pop = self.popleft
        return [pop() for _ in range(count)]

    def reject_expired(self, now_ns: int) -> None:
        """Do nothing: none expires."""


class _Level:
    """The queue of one priority."""

    def __init__(self, policy: QueuePolicy) -> None:
        self.policy = policy
        self.waiting: deque[Request] = deque()
        self.delayed: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self.waiting) + len(self.delayed)

    def push(self, request: Request, now_ns: int) -> bool:
        policy = self.policy
        if policy.max_queue_size and len(self) >= policy.max_queue_size:
            return False
        timeout_us = policy.default_timeout_us
        # a request can only shorten the default: without a default its own timeout is ignored
        if policy.allow_timeout_override and 0 < request.timeout_us < timeout_us:
            timeout_us = request.timeout_us
        request.expires_ns = now_ns + timeout_us * 1000 if timeout_us else 0
        self.waiting.append(request)
        return True


class PriorityQueue:
    """Queues by priority, 1 first. Timeouts count only where a batch is formed: a request may expire unseen.

    `rejected` are requests that were found expired, until the batcher refuses them.
    """

    def __init__(self, default: QueuePolicy, priority_levels: int, policies: Mapping[int, QueuePolicy]) -> None:
        self.levels = {level: _Level(policies.get(level, default)) for level in range(1, priority_levels + 1)}
        self.levels = self.levels or {0: _Level(default)}
        self.rejected: list[Request] = []

    def __len__(self) -> int:
        return sum(map(len, self.levels.values()))

    def push(self, request: Request, now_ns: int) -> bool:
        """Add a request; return whether there was room."""
        return self.levels[request.priority].push(request, now_ns)

    def candidates(self, now_ns: int) -> Iterator[Request]:
        """Yield the requests in the order in which batches take them, dealing with those found expired on the way."""
        for level in self.levels.values():
            place = 0
            while True:
                self._drop_expired(level, place, now_ns)
                if place >= len(level.waiting):
                    break
                yield level.waiting[place]
                place += 1
            yield from level.delayed

    def take(self, count: int) -> list[Request]:
        """Remove the first candidates."""
        taken: list[Request] = []
        for level in self.levels.values():
            for requests in (level.waiting, level.delayed):
                while requests and len(taken) < count:
                    taken.append(requests.popleft())
        return taken

    def reject_expired(self, now_ns: int) -> None:
        """Reject every expired request of a level that rejects."""
        for level in self.levels.values():
            if level.policy.timeout_action == "REJECT":
                expired = [request for request in level.waiting if _is_expired(request, now_ns)]
                self.rejected += expired
                for request in expired:
                    level.waiting.remove(request)

    def _drop_expired(self, level: _Level, place: int, now_ns: int) -> None:
        while place < len(level.waiting) and _is_expired(level.waiting[place], now_ns):
            request = level.waiting[place]
            del level.waiting[place]
            (level.delayed if level.policy.timeout_action == "DELAY" else self.rejected).append(request)
            request.expires_ns = 0


def _is_expired(request: Request, now_ns: int) -> bool:
    return request.expires_ns != 0 and now_ns > request.expires_ns
