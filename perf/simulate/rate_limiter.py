"""The rate limiter (--rate-limit=execution_count): instances of all models share resources.

An instance is staged when a payload waits for its model; the staged instance that executed least, times its priority,
is tried first, and while its resources are taken, no other is tried.

Source: core r24.10 src/rate_limiter.cc.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from heapq import heappop, heappush

from tritonsmith.perf.simulate.instances import Instances, Payload
from tritonsmith.perf.simulate.system import RateLimit

NO_LIMIT = RateLimit()


class _Context:
    """What the limiter knows of one model."""

    def __init__(self, limits: tuple[RateLimit, ...], count: int) -> None:
        self.limits = limits or (NO_LIMIT,) * count
        self.executions = [0] * count
        self.available = set(range(count))
        self.for_any: deque[Payload] = deque()
        self.for_one: list[deque[Payload]] = [deque() for _ in range(count)]

    def scaled_priority(self, instance: int) -> int:
        return self.executions[instance] * max(self.limits[instance].priority, 1)


class RateLimiter:
    """Grants instances their turn."""

    def __init__(self, resources: Mapping[str, int]) -> None:
        self._limits = Counter(resources)
        self._explicit = bool(resources)
        self._used: Counter[str] = Counter()
        self._contexts: dict[Instances, _Context] = {}
        self._staged: list[tuple[int, int, Instances, int, Payload]] = []
        self._order = 0

    def register(self, instances: Instances, limits: tuple[RateLimit, ...]) -> None:
        """Take in a model's instances; without explicit resources there is as much as the greediest needs."""
        self._contexts[instances] = _Context(limits, instances.count)
        if not self._explicit:
            for limit in limits:
                self._limits |= Counter(limit.resources)

    def request(self, instances: Instances, payload: Payload) -> None:
        """Schedule a payload once an instance of the model may run."""
        context = self._contexts[instances]
        queue = context.for_any if payload.instance is None else context.for_one[payload.instance]
        queue.append(payload)
        self._stage(instances, context, payload.instance)

    def release(self, instances: Instances, instance: int) -> None:
        """Take back what an instance had."""
        context = self._contexts[instances]
        context.executions[instance] += 1
        context.available.add(instance)
        self._used -= Counter(context.limits[instance].resources)
        if context.for_any or context.for_one[instance]:
            self._stage(instances, context, instance)
        self._try()

    def _stage(self, instances: Instances, context: _Context, only: int | None) -> None:
        for instance in sorted(context.available, key=context.scaled_priority):
            queue = context.for_one[instance] or context.for_any
            if queue and only in (None, instance):
                context.available.remove(instance)
                self._order += 1
                entry = (context.scaled_priority(instance), self._order, instances, instance, queue.popleft())
                heappush(self._staged, entry)
                self._try()

    def _try(self) -> None:
        """Let the first staged instance run if there is what it needs; one try, as in Triton."""
        if not self._staged:
            return
        _, _, instances, instance, payload = self._staged[0]
        needed = self._contexts[instances].limits[instance].resources
        if all(self._used[name] + count <= self._limits[name] for name, count in needed.items()):
            heappop(self._staged)
            self._used.update(needed)
            instances.schedule(payload, instance)
