"""Run a system under traffic: `simulate`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate.clients import Clients
from tritonsmith.perf.simulate.clock import NEVER, Clock
from tritonsmith.perf.simulate.dynamic_batcher import DynamicBatcher, Unbatched
from tritonsmith.perf.simulate.ensemble import EnsembleScheduler
from tritonsmith.perf.simulate.instances import Instances
from tritonsmith.perf.simulate.outcome import ModelOutcome, Outcome, TrafficOutcome
from tritonsmith.perf.simulate.rate_limiter import RateLimiter
from tritonsmith.perf.simulate.request import Entry
from tritonsmith.perf.simulate.sequence_batchers import SequenceScheduler
from tritonsmith.perf.simulate.service import Durations
from tritonsmith.perf.simulate.system import DynamicBatching, SimulatedEnsemble, SimulatedModel, System
from tritonsmith.perf.simulate.traffic import Trace, Traffic

REQUESTS = 20_000


def simulate(
    system: System,
    traffic: Traffic | Sequence[Traffic],
    *,
    requests: int = REQUESTS,
    seconds: float = 0.0,
    warmup_share: float = 0.1,
    seed: int = 0,
) -> Outcome:
    """Simulate until so many requests are answered or refused, or for so many seconds where `seconds` is given.

    The first `warmup_share` of them, of the requests or the seconds, is not measured. A trace ends earlier. The same
    seed gives the same outcome; every model and every traffic draws from a stream of its own.

    Raises: UsageError.
    """
    parts = [traffic] if isinstance(traffic, Traffic) else list(traffic)
    server = _Server(system, parts, seed)
    if seconds:
        server.clock.run(round(seconds * warmup_share * 1e9))
        server.begin_measuring()
        server.clock.run(round(seconds * 1e9))
    else:
        requests = min(requests, _requests_at_most(parts))
        warmup = round(requests * warmup_share)
        if warmup:
            server.run_requests(warmup)
            server.begin_measuring()
        server.run_requests(requests - warmup)
    return server.outcome()


class _Server:
    """A system that runs."""

    def __init__(self, system: System, traffic: Sequence[Traffic], seed: int) -> None:
        self.clock = Clock(system.contention)
        self._limiter = RateLimiter(system.resources) if system.limits_rate else None
        self._left = NEVER
        self._instances: dict[str, Instances] = {}
        seeds = np.random.SeedSequence(seed).spawn(len(system.models) + len(traffic))
        entries: dict[str, Entry] = {}
        for (name, model), own in zip(system.models.items(), seeds, strict=False):
            entries[name] = (
                EnsembleScheduler(model, entries, self.clock)
                if isinstance(model, SimulatedEnsemble)
                else self._scheduler(name, model, own)
            )
        self._clients = [
            Clients(part, _entry(entries, part, system), self.clock, system.overhead, own, self._count)
            for part, own in zip(traffic, seeds[len(system.models) :], strict=True)
        ]
        for clients in self._clients:
            clients.start()
        self._measured_from = 0
        self._kept = [(0, 0)] * len(self._clients)  # answered and refused before the measured time

    def run_requests(self, count: int) -> None:
        """Run until so many more are answered or refused."""
        self._left, self.clock.is_stopped = count, count <= 0
        self.clock.run()

    def begin_measuring(self) -> None:
        """Let the measured time begin now."""
        self._measured_from = self.clock.now
        self._kept = [(len(clients.sent_ns), clients.refused) for clients in self._clients]
        for instances in self._instances.values():
            instances.reset()

    def outcome(self) -> Outcome:
        """Return what happened."""
        measured_s = (self.clock.now - self._measured_from) / 1e9
        parts = tuple(
            TrafficOutcome(
                clients.traffic.model,
                np.asarray(clients.sent_ns[answered:], np.int64),
                np.asarray(clients.answered_ns[answered:], np.int64),
                clients.refused - refused,
                measured_s,
            )
            for clients, (answered, refused) in zip(self._clients, self._kept, strict=True)
        )
        sent, answered = sum(c.sent for c in self._clients), sum(len(c.sent_ns) for c in self._clients)
        refused = sum(c.refused for c in self._clients)
        models = {name: _model_outcome(instances, measured_s) for name, instances in self._instances.items()}
        return Outcome(parts, models, measured_s, sent, answered, refused, sent - answered - refused)

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.clock.is_stopped = True

    def _scheduler(self, name: str, model: SimulatedModel, seed: np.random.SeedSequence) -> Entry:
        instances = Instances(model, self.clock, Durations(model.service, seed), self._limiter)
        self._instances[name] = instances
        if self._limiter is not None:
            self._limiter.register(instances, model.limits)
        if model.scheduler is None:
            return Unbatched(instances)
        if isinstance(model.scheduler, DynamicBatching):
            return DynamicBatcher(
                model.scheduler, model.max_batch_size, instances, self.clock, checks_shapes=model.checks_shapes
            )
        return SequenceScheduler(model, instances, self.clock)


def _requests_at_most(traffic: Sequence[Traffic]) -> int:
    """Return how many requests there are where all traffic is recorded."""
    traces = [part.arrivals for part in traffic if isinstance(part.arrivals, Trace)]
    if len(traces) < len(traffic):
        return NEVER
    return sum(len(trace.times_s) * max(1, part.sequence_length) for trace, part in zip(traces, traffic, strict=True))


def _entry(entries: dict[str, Entry], traffic: Traffic, system: System) -> Entry:
    if traffic.model not in entries:
        raise UsageError(f"no model '{traffic.model}' is described", hint=f"there are {', '.join(entries)}")
    model = system.models[traffic.model]
    limit = model.max_batch_size if isinstance(model, SimulatedModel) else 0
    rows = max(traffic.arrivals.rows, default=1) if isinstance(traffic.arrivals, Trace) else traffic.rows
    if rows > max(1, limit) and isinstance(model, SimulatedModel):
        raise UsageError(f"requests of {rows} rows exceed '{traffic.model}': max_batch_size {limit}")
    if isinstance(entries[traffic.model], SequenceScheduler) and traffic.sequence_length < 1:
        raise UsageError(f"'{traffic.model}' batches sequences", hint="give the traffic a sequence_length")
    return entries[traffic.model]


def _model_outcome(instances: Instances, measured_s: float) -> ModelOutcome:
    capacity_ns = instances.count * measured_s * 1e9
    return ModelOutcome(
        requests=instances.requests,
        rejected=instances.rejected,
        executions=sum(instances.batches.values()),
        batch_sizes=dict(sorted(instances.batches.items())),
        queue_us=instances.waited_ns / 1e3 / max(1, instances.requests),
        utilization=instances.busy_until_now() / capacity_ns if capacity_ns else 0.0,
    )
