"""Predictions of candidates: the simulator with what the probes showed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.served import computing, reached
from tritonsmith.perf.simulate import Contention, Overhead, ServiceTimes, read_system, simulate
from tritonsmith.perf.simulate.calibration import OUTSIDE_VARIATION
from tritonsmith.perf.simulate.traffic import traffic_for
from tritonsmith.perf.tune.core import Candidate, Prediction
from tritonsmith.perf.variants import changed_configs

NEVER_MS = 1e6  # a latency where nothing is answered
ALL_REQUESTS = 200_000  # simulated for all predictions together: some seconds
FEWEST, MOST = 120, 3000  # for one
LOADS = 5  # that each candidate is predicted at, about
PER_CLIENT = 4  # requests, at least
SECONDS = 2.0  # of arrivals: past what a model can do, its queue grows while it is measured
WARMUP_SHARE = 0.2


@dataclass(frozen=True)
class Calibrated:
    """What probes showed: service times by model and way to compute, contention, and the pipeline's own latency.

    `latency_us` is that of the pipeline as served, in `base`, with one request in flight.
    """

    model: str
    base: Mapping[str, ModelConfig]
    services: Mapping[tuple[str, str], ServiceTimes]
    contention: Contention
    latency_us: float
    calls: Mapping[str, Sequence[str]]


@dataclass
class Predictor:
    """A `Predict`; each answer is remembered. `candidates` says how many there are: the more, the quicker each."""

    calibrated: Calibrated
    goals: Goals
    candidates: int = 1
    _known: dict[tuple[str, Load], Prediction] = field(default_factory=dict)
    _overhead: Overhead | None = None

    def __call__(self, candidate: Candidate, load: Load) -> Prediction:
        """Return what the simulator expects."""
        base = self.calibrated.base
        configs = {**base, **changed_configs(candidate.variant, base)}
        mark = "\0".join(configs[name].SerializeToString(deterministic=True).hex() for name in sorted(configs))
        if (mark, load) not in self._known:
            self._known[mark, load] = self._simulated(configs, load)
        return self._known[mark, load]

    @property
    def overhead(self) -> Overhead:
        """What a request costs outside the models: what simulated models leave of the pipeline's own latency."""
        if self._overhead is None:
            inside_ms = self._prediction(self.calibrated.base, Load("concurrency", 1), Overhead(), 500).mean_ms
            self._overhead = Overhead(max(0.0, self.calibrated.latency_us - inside_ms * 1e3), OUTSIDE_VARIATION)
        return self._overhead

    def _simulated(self, configs: Mapping[str, ModelConfig], load: Load) -> Prediction:
        predictions = max(1, self.candidates * LOADS * len(self.calibrated.services))
        requests = min(MOST, max(FEWEST, ALL_REQUESTS // predictions))
        if load.kind == "concurrency":
            requests = max(requests, round(PER_CLIENT * load.value))
        else:
            requests = max(20, min(requests, round(SECONDS * load.value)))
        return self._prediction(configs, load, self.overhead, requests)

    def _prediction(
        self, configs: Mapping[str, ModelConfig], load: Load, overhead: Overhead, requests: int
    ) -> Prediction:
        found = self.calibrated
        within = {name: configs[name] for name in reached(found.model, configs)}
        services = {name: self._service(name, configs) for name in computing(found.model, configs)}
        system = read_system(within, services, contention=found.contention, overhead=overhead)
        traffics = traffic_for(found.model, load, within)
        outcome = simulate(system, traffics, requests=requests, warmup_share=WARMUP_SHARE)
        traffic = outcome.traffic[0]
        limit_ms = self.goals.latency_ms
        good = traffic.share_within(math.inf if limit_ms is None else limit_ms * 1e3)
        p50, p90, p95, p99 = (_ms(traffic.quantile_us(share)) for share in (0.5, 0.9, 0.95, 0.99))
        rate = traffic.throughput_per_s
        return Prediction(rate, rate * good, _ms(traffic.mean_us), p50, p90, p95, p99)

    def _service(self, name: str, configs: Mapping[str, ModelConfig]) -> ServiceTimes:
        services = self.calibrated.services
        key = work_key(name, configs, self.calibrated.calls)
        known = services.get((name, key))
        return known or next(service for (model, _), service in services.items() if model == name)


def work_key(name: str, configs: Mapping[str, ModelConfig], calls: Mapping[str, Sequence[str]]) -> str:
    """Return what tells apart how a model computes: all but its instances, its largest batch and its scheduler.

    Of the models that it calls everything counts: it waits for them while it computes.
    """
    own = ModelConfig()
    own.CopyFrom(configs[name])
    for schedule in ("instance_group", "max_batch_size", "dynamic_batching"):
        own.ClearField(schedule)
    called = [configs[other] for other in calls.get(name, ()) if other in configs]
    parts: list[Message] = [own, *called]
    return hashlib.sha256(b"".join(p.SerializeToString(deterministic=True) for p in parts)).hexdigest()[:12]


def _ms(us: float) -> float:
    return NEVER_MS if math.isnan(us) else us / 1e3
