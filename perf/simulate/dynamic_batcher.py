"""The dynamic batcher, and the scheduler of a model without one.

What Triton's batcher thread does is kept, also where it surprises: a batch that waits for an instance grows; a delay
counts although an instance idles; and a batcher with a queue policy or priorities forms a batch only for an instance
that idles, and is not told when one begins to, so that requests wait for the next arrival or for half a second.

Source: core r24.10 src/dynamic_batch_scheduler.cc.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tritonsmith.perf.simulate.clock import Clock
from tritonsmith.perf.simulate.instances import Instances, Payload
from tritonsmith.perf.simulate.queues import Fifo, PriorityQueue
from tritonsmith.perf.simulate.request import Owner, Request
from tritonsmith.perf.simulate.system import DynamicBatching

POLL_NS = 500_000_000  # the batcher thread looks again after so long, if nobody wakes it
# What it does. Waiting: for requests, or until the delay is over; without room: for an instance.
RUNNING, WAITING, WITHOUT_ROOM = range(3)


class Unbatched:
    """The scheduler of a model without a batcher: each request is an execution."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def enqueue(self, request: Request) -> None:
        """Take a request."""
        payload = Payload(None)
        payload.requests.append(request)
        payload.rows = request.rows
        self._instances.enqueue(payload)


class DynamicBatcher:
    """Forms batches of what is queued.

    `instance` is the one they are for, None for all of the model's; `released` is called with each executed request.
    """

    def __init__(
        self,
        config: DynamicBatching,
        max_batch_size: int,
        instances: Instances,
        clock: Clock,
        *,
        instance: int | None = None,
        checks_shapes: bool = False,
        released: Callable[[Request], None] | None = None,
    ) -> None:
        self._released = released
        self._clock = clock
        self._instances = instances
        self._instance = instance
        self._limit = max(1, max_batch_size)
        sizes = config.preferred_batch_sizes or ((max_batch_size,) if max_batch_size else ())
        self._preferred = sorted(sizes)
        self._is_preferred = frozenset(sizes)
        self._largest = max(sizes, default=0)
        self._delay_ns = config.max_queue_delay_us * 1000
        self._checks_shapes = checks_shapes
        self._levels = config.priority_levels
        self._default_level = config.default_priority_level
        self.prefetches = config.default_policy.is_default and not config.priority_levels
        self._poll_ns = 0 if self.prefetches else POLL_NS  # one that prefetches is woken in time
        self._queue: Fifo | PriorityQueue = (
            Fifo()
            if self.prefetches
            else PriorityQueue(config.default_policy, config.priority_levels, config.priority_policies)
        )
        self._in_order = InOrder() if config.preserve_ordering else None
        self._payload = Payload(self, instance)
        self._is_saturated = False
        self._next_preferred = 0
        self._queued_rows = 0
        self._state = WAITING
        self._wakes_ns = 0  # when the thread wakes by itself
        self._alarm_ns = 0  # the next event that is set for that

    def enqueue(self, request: Request) -> None:
        """Take a request, and wake the batcher if it has reason to look."""
        request.enqueued_ns = self._clock.now
        if self._levels and not 0 < request.priority <= self._levels:
            request.priority = self._default_level
        elif not self._levels:
            request.priority = 0
        self._queued_rows += request.rows  # before it is known whether there is room, as in Triton
        if not self._queue.push(request, self._clock.now):
            self._refuse([request])
            return
        if self._instances.has_room(prefetches=self.prefetches) and (
            self._checks_shapes
            or self._is_saturated
            or self._payload.is_stale
            or self._queued_rows >= self._next_preferred
        ):
            self._wake()

    def payload_started(self) -> None:
        """Look again: an instance took a payload."""
        self._wake()

    def payload_done(self, payload: Payload) -> None:
        """Tell who wants to know that the requests are released; the batcher itself is not told."""
        if self._released is not None:
            for request in payload.requests:
                self._released(request)

    def _wake(self) -> None:
        """Go on, unless it runs already or there is still no room."""
        if self._state == WAITING or (
            self._state == WITHOUT_ROOM and self._instances.has_room(prefetches=self.prefetches)
        ):
            self._run()

    def _run(self) -> None:
        """Form batches until there is nothing more to do; then wait."""
        self._state = RUNNING
        queue, instances, prefetches = self._queue, self._instances, self.prefetches
        while True:
            if self._is_saturated or self._payload.is_stale:
                self._payload = Payload(self, self._instance)
                self._is_saturated = False
                self._next_preferred = 0
            if not queue:
                self._wait(WAITING, self._poll_ns)
                return
            if not instances.has_room(prefetches=prefetches):
                self._wait(WITHOUT_ROOM, self._poll_ns)
                return
            wait_ns, count, rows = self._form_batch()
            if queue.rejected:
                self._refuse_expired()
            if wait_ns:
                self._wait(WAITING, wait_ns)
                return
            if count:
                self._extend_payload(count, rows)

    def _extend_payload(self, count: int, rows: int) -> None:
        requests = self._queue.take(count)
        if self._in_order is not None:
            self._in_order.expect(requests)
        self._queued_rows -= rows
        payload = self._payload
        payload.add(requests, rows)
        if not payload.is_queued:
            self._instances.enqueue(payload)

    def _form_batch(self) -> tuple[int, int, int]:
        """Return (nanoseconds to wait, requests to take, their rows). Source: GetDynamicBatch."""
        now, base, limit, largest = self._clock.now, self._payload.rows, self._limit, self._largest
        rows = count = best = best_count = closest_ns = 0
        oldest_ns, is_full = now, False
        for request in self._queue.candidates(now):
            size = request.rows
            if base or count:
                if not best and base + rows + size > largest:
                    best, best_count, self._is_saturated = rows, count, True
                if base + rows + size > limit:
                    is_full = True
                    break
            if request.enqueued_ns < oldest_ns:
                oldest_ns = request.enqueued_ns
            if request.expires_ns and (not closest_ns or request.expires_ns < closest_ns):
                closest_ns = request.expires_ns
            rows += size
            count += 1
            if base + rows in self._is_preferred:
                best, best_count = rows, count
        is_over = bool(self._delay_ns) and now - oldest_ns >= self._delay_ns
        if best and not is_over:
            self._is_saturated = self._is_saturated or not self._delay_ns
            return 0, best_count, best
        if count and (is_full or base + rows >= largest):
            self._is_saturated = True
        elif count and self._delay_ns and not is_over:
            return self._delay(now - oldest_ns, closest_ns, base, rows), count, rows
        return 0, count, rows

    def _delay(self, age_ns: int, closest_ns: int, base: int, rows: int) -> int:
        """Return how long to wait for more requests: whole microseconds; none if a payload that waits can grow."""
        self._next_preferred = next(size for size in self._preferred if size > base + rows) - base
        if not self._is_saturated and base and base not in self._is_preferred:
            return 0
        wait_ns = self._delay_ns - age_ns
        if closest_ns:
            wait_ns = min(closest_ns - self._clock.now, wait_ns) if self._clock.now <= closest_ns else 1000
        return wait_ns // 1000 * 1000

    def _wait(self, state: int, wait_ns: int) -> None:
        """Wait until woken, at most `wait_ns` where that is not 0."""
        self._state = state
        self._wakes_ns = 0
        if not wait_ns:
            return
        self._wakes_ns = self._clock.now + wait_ns
        if not self._clock.now < self._alarm_ns <= self._wakes_ns:
            self._alarm_ns = self._wakes_ns
            self._clock.at(self._alarm_ns, self._alarm, self._alarm_ns)

    def _alarm(self, set_for_ns: int) -> None:
        if set_for_ns != self._alarm_ns or not self._wakes_ns or self._state == RUNNING:
            return
        now = self._clock.now
        if now < self._wakes_ns:
            self._alarm_ns = self._wakes_ns
            self._clock.at(self._alarm_ns, self._alarm, self._alarm_ns)
            return
        if self._state == WITHOUT_ROOM and not self._instances.has_room(prefetches=self.prefetches):
            self._queue.reject_expired(now)
            self._refuse_expired()
            self._wait(WITHOUT_ROOM, POLL_NS)
            return
        self._run()

    def _refuse_expired(self) -> None:
        expired, self._queue.rejected = self._queue.rejected, []
        self._queued_rows -= sum(request.rows for request in expired)
        self._refuse(expired)

    def _refuse(self, requests: list[Request]) -> None:
        self._instances.rejected += len(requests)
        for request in requests:
            request.owner.failed(request)


class InOrder:
    """Holds answers back until those of earlier requests are out (preserve_ordering). It stands in for the owners."""

    def __init__(self) -> None:
        self._order: deque[tuple[Request, Owner]] = deque()
        self._is_answered: set[Request] = set()

    def expect(self, requests: list[Request]) -> None:
        """Take over requests as they enter a batch."""
        for request in requests:
            self._order.append((request, request.owner))
            request.owner = self

    def answered(self, request: Request) -> None:
        """Pass on all answers that are next."""
        self._is_answered.add(request)
        while self._order and self._order[0][0] in self._is_answered:
            first, owner = self._order.popleft()
            self._is_answered.remove(first)
            first.owner = owner
            owner.answered(first)

    def failed(self, request: Request) -> None:
        """Do nothing: what is in a batch does not fail."""
