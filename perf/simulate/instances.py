"""A model's instances and the payloads (batches) that wait for them.

Source: core r24.10 src/instance_queue.cc, src/rate_limiter.cc (EnqueuePayload, DequeuePayload), src/payload.cc.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Protocol

from tritonsmith.perf.simulate.clock import Clock
from tritonsmith.perf.simulate.request import Request
from tritonsmith.perf.simulate.service import Durations, nanoseconds
from tritonsmith.perf.simulate.system import SimulatedModel


class Batcher(Protocol):
    """Who made a payload, and wants to know when it leaves the queue and when it is done."""

    def payload_started(self) -> None:
        """Learn that a payload left the queue."""

    def payload_done(self, payload: Payload) -> None:
        """Learn that a payload was executed and its requests are released; their answers are out."""


class Payload:
    """Requests that are executed together. One that still waits may grow; `is_stale` once an instance took it."""

    __slots__ = ("batcher", "instance", "is_queued", "is_saturated", "is_stale", "oldest_ns", "requests", "rows")

    def __init__(self, batcher: Batcher | None, instance: int | None = None) -> None:
        self.batcher = batcher
        self.instance = instance  # None: any
        self.requests: list[Request] = []
        self.rows = 0
        self.oldest_ns = 0
        self.is_queued = self.is_stale = self.is_saturated = False

    def add(self, requests: list[Request], rows: int) -> None:
        """Take more requests."""
        oldest_ns = requests[0].enqueued_ns
        if len(requests) > 1:
            oldest_ns = min([request.enqueued_ns for request in requests])
        if not self.requests or oldest_ns < self.oldest_ns:
            self.oldest_ns = oldest_ns
        self.requests += requests
        self.rows += rows


class Limiter(Protocol):
    """The server's rate limiter, where it has one."""

    def request(self, instances: Instances, payload: Payload) -> None:
        """Schedule a payload once an instance of the model may run."""

    def release(self, instances: Instances, instance: int) -> None:
        """Take back what an instance had."""


class Instances:
    """The instances of one model, each executing one payload at a time, and the counters of what they did."""

    def __init__(self, model: SimulatedModel, clock: Clock, durations: Durations, limiter: Limiter | None) -> None:
        self.count = model.instances
        self._clock = clock
        self._draw = durations.draw
        self._handover_ns = nanoseconds(model.service.handover_us)
        self._start_work = clock.work if model.service.is_contending else self._sleep
        self._limiter = limiter
        self._merge_limit = model.max_batch_size
        self._merge_delay_ns = 1000 * getattr(model.scheduler, "max_queue_delay_us", 0)
        self._any: deque[Payload] = deque()
        self._specific: list[deque[Payload]] = [deque() for _ in range(self.count)]
        self._idle = deque(range(self.count))
        self._consumers = self.count  # instances that wait, less the payloads on their way to them
        self._started: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was counted; what runs now counts from now on."""
        self.batches: Counter[int] = Counter()
        self.requests = self.waited_ns = self.busy_ns = self.rejected = 0
        self._started = dict.fromkeys(self._started, self._clock.now)

    def has_room(self, *, prefetches: bool) -> bool:
        """Return whether the batcher may form a batch: two wait per instance, or, without prefetching, one idles."""
        return len(self._any) < 2 * self.count if prefetches else self._consumers > 0

    def enqueue(self, payload: Payload) -> None:
        """Take a payload from a batcher."""
        payload.is_queued = True
        self._consumers -= 1
        if self._limiter is None:
            self.schedule(payload, payload.instance)
        else:
            self._limiter.request(self, payload)

    def schedule(self, payload: Payload, instance: int | None) -> None:
        """Let an instance execute it, now or when it is through with what it has."""
        if instance is None:
            if self._idle:
                self._start(self._idle.popleft(), payload)
            else:
                self._any.append(payload)
        elif instance in self._idle:
            self._idle.remove(instance)
            self._start(instance, payload)
        else:
            self._specific[instance].append(payload)

    def busy_until_now(self) -> int:
        """Return the time that instances were busy, what runs now included."""
        return self.busy_ns + sum(self._clock.now - started for started in self._started.values())

    def _start(self, instance: int, payload: Payload) -> None:
        now = self._clock.now
        payload.is_stale = True
        payload.instance = instance
        self._started[instance] = now
        requests = payload.requests
        for request in requests:
            self.waited_ns += now - request.queued_ns
        self.requests += len(requests)
        self.batches[payload.rows] += 1
        self._start_work(self._draw(payload.rows), self._answer, payload)
        if payload.batcher is not None:
            payload.batcher.payload_started()

    def _sleep(self, duration_ns: int, action: object, payload: Payload) -> None:
        self._clock.at(self._clock.now + duration_ns, self._answer, payload)

    def _answer(self, payload: Payload) -> None:
        for request in payload.requests:
            request.owner.answered(request)
        instance = payload.instance
        assert instance is not None
        self.busy_ns += self._clock.now - self._started.pop(instance)
        if payload.batcher is not None:
            payload.batcher.payload_done(payload)
        if self._handover_ns:
            self._clock.at(self._clock.now + self._handover_ns, self._free, instance)
        else:
            self._free(instance)

    def _free(self, instance: int) -> None:
        """Take the next payload, which may have grown until now."""
        if self._limiter is not None:
            self._limiter.release(self, instance)
        self._consumers += 1
        queue = self._any or self._specific[instance]
        if queue:
            self._start(instance, self._dequeue(queue))
        else:
            self._idle.append(instance)  # tells no batcher: one that does not prefetch may go on waiting

    def _dequeue(self, queue: deque[Payload]) -> Payload:
        """Take the first payload, and merge into it those behind it that waited longer than the delay."""
        payload = queue.popleft()
        if queue and self._merge_delay_ns and self._merge_limit > 1 and not payload.is_saturated:
            payload.is_stale = True
            while queue and not queue[0].is_saturated and self._clock.now - queue[0].oldest_ns > self._merge_delay_ns:
                front = queue[0]
                front.is_stale = True  # whether or not it fits: it will not grow any more
                if payload.rows + front.rows > self._merge_limit:
                    break
                payload.add(front.requests, front.rows)
                queue.popleft()
        return payload
