"""The sequence batchers: a sequence gets a slot; direct executes the slots, oldest feeds a dynamic batcher.

Not simulated: sequences that never end, which Triton reaps after max_sequence_idle_microseconds.

Source: core r24.10 src/sequence_batch_scheduler/sequence_batch_scheduler.cc.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Protocol

from tritonsmith.perf.simulate.clock import Clock
from tritonsmith.perf.simulate.dynamic_batcher import DynamicBatcher
from tritonsmith.perf.simulate.instances import Instances, Payload
from tritonsmith.perf.simulate.request import Request
from tritonsmith.perf.simulate.system import DirectSequences, DynamicBatching, OldestSequences, SimulatedModel

Queue = deque[Request]


class SlotBatcher(Protocol):
    """What batches the sequences of one instance."""

    def enqueue(self, slot: int, request: Request) -> None:
        """Take a request of the sequence in this slot."""


class SequenceScheduler:
    """Gives each sequence a slot of an instance, low slots of all instances first; those without one wait in order."""

    def __init__(self, model: SimulatedModel, instances: Instances, clock: Clock) -> None:
        config, size = model.scheduler, max(1, model.max_batch_size)
        self._batchers: list[SlotBatcher]
        if isinstance(config, OldestSequences):
            size = config.max_candidate_sequences if config.max_candidate_sequences > 0 else size
            self._batchers = [OldestBatcher(self, i, size, model, instances, clock) for i in range(model.instances)]
        else:
            self._batchers = [DirectBatcher(self, i, size, model, instances, clock) for i in range(model.instances)]
        self._ready = [(slot, instance) for slot in range(size) for instance in range(model.instances)]
        heapify(self._ready)
        self._slots: dict[int, tuple[int, int]] = {}  # (slot, instance) by sequence
        self._backlog: deque[Queue] = deque()
        self._backlog_of: dict[int, Queue] = {}

    def enqueue(self, request: Request) -> None:
        """Take a request; its sequence has a slot, waits for one, or begins now."""
        sequence = request.sequence
        place = self._slots.get(sequence)
        if place is None and sequence in self._backlog_of:
            self._backlog_of[sequence].append(request)
            if request.is_end:
                del self._backlog_of[sequence]
            return
        if place is None and not self._ready:
            queue = deque([request])
            self._backlog.append(queue)
            if not request.is_end:
                self._backlog_of[sequence] = queue
            return
        if place is None:
            place = heappop(self._ready)
        if request.is_end:
            self._slots.pop(sequence, None)
        else:
            self._slots[sequence] = place
        slot, instance = place
        self._batchers[instance].enqueue(slot, request)

    def release(self, slot: int, instance: int) -> Queue | None:
        """Free a slot; return the requests of the sequence that has it now, None where none waited."""
        if not self._backlog:
            heappush(self._ready, (slot, instance))
            return None
        queue = self._backlog.popleft()
        last = queue[-1]
        if not last.is_end:
            del self._backlog_of[last.sequence]
            self._slots[last.sequence] = (slot, instance)
        return queue


class DirectBatcher:
    """One batch at a time: row i is the sequence in slot i, up to the last slot with a request; others are padding."""

    def __init__(
        self,
        scheduler: SequenceScheduler,
        instance: int,
        slots: int,
        model: SimulatedModel,
        instances: Instances,
        clock: Clock,
    ) -> None:
        assert isinstance(model.scheduler, DirectSequences)
        self._scheduler, self._instance, self._instances, self._clock = scheduler, instance, instances, clock
        self._queues: list[Queue] = [deque() for _ in range(slots)]
        self._slots = slots
        self._delay_ns = model.scheduler.max_queue_delay_us * 1000
        self._utilization = model.scheduler.minimum_slot_utilization
        self._is_executing = False
        self._alarm_ns = 0

    def enqueue(self, slot: int, request: Request) -> None:
        """Take a request of the sequence in this slot."""
        self._queues[slot].append(request)
        self._run()

    def payload_started(self) -> None:
        """Do nothing: what counts is its end."""

    def payload_done(self, payload: Payload) -> None:
        """Go on with the next batch."""
        self._is_executing = False
        self._run()

    def _run(self) -> None:
        if self._is_executing:
            return
        ready = [slot for slot, queue in enumerate(self._queues) if queue]
        if not ready or self._waits(ready):
            return
        payload = Payload(self, self._instance)
        payload.is_saturated = True
        requests = []
        for slot in ready:
            request = self._queues[slot].popleft()
            requests.append(request)
            if request.is_end:
                self._queues[slot] = self._scheduler.release(slot, self._instance) or deque()
        payload.add(requests, ready[-1] + 1)
        self._is_executing = True
        self._instances.enqueue(payload)

    def _waits(self, ready: list[int]) -> bool:
        """Return whether too few slots are ready and the delay is not over; then it looks again when it is."""
        if not self._delay_ns or not self._utilization or len(ready) / self._slots >= self._utilization:
            return False
        due_ns = min(self._queues[slot][0].enqueued_ns for slot in ready) + self._delay_ns + 1
        if self._clock.now >= due_ns:
            return False
        if self._alarm_ns != due_ns:
            self._alarm_ns = due_ns
            self._clock.at(due_ns, self._look_again, None)
        return True

    def _look_again(self, _: None) -> None:
        self._run()


class OldestBatcher:
    """One request of each sequence at a time goes to a dynamic batcher of this instance."""

    def __init__(
        self,
        scheduler: SequenceScheduler,
        instance: int,
        slots: int,
        model: SimulatedModel,
        instances: Instances,
        clock: Clock,
    ) -> None:
        config = model.scheduler
        assert isinstance(config, OldestSequences)
        self._scheduler, self._instance = scheduler, instance
        self._queues: list[Queue] = [deque() for _ in range(slots)]
        self._is_in_flight = [False] * slots
        batching = DynamicBatching(config.preferred_batch_sizes, config.max_queue_delay_us, config.preserve_ordering)
        self._batcher = DynamicBatcher(
            batching,
            model.max_batch_size,
            instances,
            clock,
            instance=instance,
            checks_shapes=model.checks_shapes,
            released=self._complete,
        )

    def enqueue(self, slot: int, request: Request) -> None:
        """Take a request of the sequence in this slot."""
        self._queues[slot].append(request)
        if not self._is_in_flight[slot]:
            self._next(slot)

    def _complete(self, request: Request) -> None:
        self._is_in_flight[request.slot] = False
        self._next(request.slot)

    def _next(self, slot: int) -> None:
        """Send the sequence's next request to the batcher; with its last one the slot goes to another sequence."""
        if not self._queues[slot]:
            return
        request = self._queues[slot].popleft()
        request.slot = slot
        self._is_in_flight[slot] = True
        if request.is_end:
            self._queues[slot] = self._scheduler.release(slot, self._instance) or deque()
        self._batcher.enqueue(request)
