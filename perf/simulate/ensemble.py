"""An ensemble's scheduler: each request walks through the steps as what they need is ready.

Source: core r24.10 src/ensemble_scheduler/ensemble_scheduler.cc.
"""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.perf.simulate.clock import Clock
from tritonsmith.perf.simulate.request import Entry, Request
from tritonsmith.perf.simulate.system import SimulatedEnsemble


class EnsembleScheduler:
    """Starts a run for each request. It has no queue and no limit of its own."""

    def __init__(self, ensemble: SimulatedEnsemble, entries: Mapping[str, Entry], clock: Clock) -> None:
        self.steps = ensemble.steps
        self.entries = entries  # filled in as the models are built
        self.clock = clock
        self.then = tuple(
            tuple(place for place, step in enumerate(self.steps) if earlier in step.after)
            for earlier in range(len(self.steps))
        )
        self.needs = [len(step.after) for step in self.steps]
        self.first = tuple(place for place, need in enumerate(self.needs) if not need)

    def enqueue(self, request: Request) -> None:
        """Take a request."""
        run = _Run(self, request)
        for place in self.first:
            run.start(place)


class _Run:
    """One request on its way through the steps."""

    __slots__ = ("in_flight", "is_failed", "missing", "request", "scheduler")

    def __init__(self, scheduler: EnsembleScheduler, request: Request) -> None:
        self.scheduler = scheduler
        self.request = request
        self.missing = scheduler.needs.copy()
        self.in_flight = len(scheduler.first)
        self.is_failed = False

    def start(self, place: int) -> None:
        scheduler, whole = self.scheduler, self.request
        # Priority 0: Triton checks a request's against the ensemble's own configuration, which cannot have any.
        part = Request(self, scheduler.clock.now, whole.rows, 0, whole.timeout_us, place)
        part.sequence, part.is_end = whole.sequence, whole.is_end
        scheduler.entries[scheduler.steps[place].model].enqueue(part)

    def answered(self, part: Request) -> None:
        """Start the steps that waited for this one; answer when it was the last."""
        ready = []
        if not self.is_failed:
            for place in self.scheduler.then[part.place]:
                self.missing[place] -= 1
                if not self.missing[place]:
                    ready.append(place)
        self.in_flight += len(ready) - 1
        for place in ready:
            self.start(place)
        self._end()

    def failed(self, part: Request) -> None:
        """Fail, once the steps that run are done."""
        self.is_failed = True
        self.in_flight -= 1
        self._end()

    def _end(self) -> None:
        if self.in_flight == 0:
            self.in_flight = -1  # told once
            (self.request.owner.failed if self.is_failed else self.request.owner.answered)(self.request)
