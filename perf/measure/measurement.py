"""The noun `Measurement`: what one run of perf_analyzer and the server's statistics say about one load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tritonsmith.perf.measure.analyzer import AnalyzerResult
from tritonsmith.perf.measure.kept import Kept, count_kept
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import MachineLoad
from tritonsmith.perf.measure.profile import Floats, Profile
from tritonsmith.perf.measure.replayed import Replayed
from tritonsmith.perf.measure.streams import Streams, measure_streams
from tritonsmith.perf.statistics import quantile, requests_needed

QUANTILES = {"p50_us": 0.50, "p90_us": 0.90, "p95_us": 0.95, "p99_us": 0.99}


@dataclass(frozen=True)
class Latency:
    """How long requests took, from sending to the last response; `requests` tells which quantiles can be trusted."""

    requests: int
    mean_us: float
    p50_us: float
    p90_us: float
    p95_us: float
    p99_us: float
    max_us: float

    @property
    def unreliable(self) -> tuple[str, ...]:
        """Return the quantiles with fewer than ten requests beyond them."""
        return tuple(name for name, share in QUANTILES.items() if self.requests < requests_needed(share))


@dataclass(frozen=True)
class Step:
    """What the server spent on one model, per request: the model itself or, of an ensemble, each composing model.

    Times are means over the model's own requests, and a request carries the whole time of the batch it was in.
    `batch_sizes` counts executions by batch size.
    """

    model: str
    requests: int
    executions: int
    failures: int
    queue_us: float
    compute_input_us: float
    compute_infer_us: float
    compute_output_us: float
    batch_sizes: Mapping[int, int]

    @property
    def total_us(self) -> float:
        """Return the whole time per request."""
        return self.queue_us + self.compute_input_us + self.compute_infer_us + self.compute_output_us

    @property
    def queue_to_compute(self) -> float | None:
        """Return how long requests waited for each second that they were computed; None where none was computed."""
        compute_us = self.total_us - self.queue_us
        return self.queue_us / compute_us if compute_us else None

    @property
    def mean_batch_size(self) -> float:
        """Return requests' rows per execution."""
        executions = sum(self.batch_sizes.values())
        return sum(size * count for size, count in self.batch_sizes.items()) / executions if executions else 0.0


@dataclass(frozen=True)
class CacheUse:
    """How many of a model's requests were answered from the response cache, and how many were looked up in vain."""

    model: str
    hits: int
    misses: int

    @property
    def hit_share(self) -> float:
        """Return the share of requests that the model itself did not answer."""
        return self.hits / max(1, self.hits + self.misses)


@dataclass(frozen=True)
class Measurement:
    """One point, measured once. Rates are per second; `in_flight` is throughput times mean latency (Little's law).

    `caches` has an entry for each model, ensembles included, whose requests were looked up in the response cache.
    """

    load: Load
    latency: Latency
    throughput_per_s: float
    windows_per_s: tuple[float, ...]
    sent_per_s: float
    in_flight: float
    responses_per_s: float
    first_response_p50_us: float
    client_send_us: float
    client_receive_us: float
    server_us: float  # the server's own time per request, arrival to answer; the rest is network, endpoint and client
    steps: tuple[Step, ...]
    measured_s: float
    generator_cores: float
    is_generator_behind: bool
    machine: MachineLoad
    attempts: int
    caches: tuple[CacheUse, ...] = ()  # since schema 2
    streams: Streams | None = None  # since schema 3; of decoupled models
    kept: tuple[Kept, ...] = ()  # these since schema 5; one for each limit that was asked for
    joules_per_request: float | None = None  # of the GPUs, idle time included; where the server reports it
    replayed: Replayed | None = None  # of a trace

    @property
    def overhead_us(self) -> float:
        """Return what neither the steps nor the client's own calls account for: network, endpoints, the ensemble.

        0 where steps run in parallel, which makes their sum exceed the whole.
        """
        steps_us = sum(step.total_us for step in self.steps)
        return max(0.0, self.latency.mean_us - steps_us - self.client_send_us - self.client_receive_us)


def summarise_latencies(latencies_us: Floats) -> Latency:
    """Return the quantiles of latencies [requests]."""
    quantiles = {name: round(quantile(latencies_us, share), 1) for name, share in QUANTILES.items()}
    mean_us, max_us = round(float(latencies_us.mean()), 1), round(float(latencies_us.max()), 1)
    return Latency(requests=len(latencies_us), mean_us=mean_us, max_us=max_us, **quantiles)


def compose_measurement(
    load: Load,
    result: AnalyzerResult,
    server_us: float,
    steps: tuple[Step, ...],
    machine: MachineLoad,
    caches: tuple[CacheUse, ...] = (),
    limits_ms: Mapping[str, float] = MappingProxyType({}),
) -> Measurement:
    """Put together what perf_analyzer, the server and the machine said about one run.

    How many requests kept each of `limits_ms` (by metric: "p99_ms") is counted.
    """
    profile = result.profile
    is_decoupled = "Response Throughput" in result.columns
    latency = summarise_latencies(profile.latencies_us)
    return Measurement(
        load=load,
        latency=latency,
        throughput_per_s=round(profile.throughput_per_s, 3),
        windows_per_s=tuple(round(rate, 3) for rate in profile.windows_per_s),
        sent_per_s=round(profile.sent_per_s, 3),
        in_flight=round(profile.throughput_per_s * latency.mean_us / 1e6, 3),
        responses_per_s=round(float(profile.responses.sum()) / profile.measured_s, 3),
        first_response_p50_us=round(quantile(profile.first_response_us, 0.5), 1),
        client_send_us=result.columns.get("Client Send", 0.0),
        client_receive_us=result.columns.get("Client Recv", 0.0),
        server_us=round(server_us, 1),
        steps=steps,
        measured_s=round(profile.measured_s, 4),
        generator_cores=round(result.generator_cores, 3),
        is_generator_behind=result.is_behind or is_generator_behind(load, profile, latency),
        machine=machine,
        attempts=result.attempts,
        caches=caches,
        streams=measure_streams(profile) if is_decoupled else None,
        kept=count_kept(load, profile, limits_ms),
    )


def is_generator_behind(load: Load, profile: Profile, latency: Latency) -> bool:
    """Tell whether perf_analyzer, not the server, held the load below what was asked for.

    A rate: fewer requests were sent than asked, by more than 5 % and two requests.
    A concurrency: fewer requests were in flight than asked, by more than 10 %.
    """
    if load.kind == "concurrency":
        return profile.throughput_per_s * latency.mean_us / 1e6 < 0.9 * load.value
    tolerance = 0.05 + 2 / latency.requests
    return profile.sent_per_s < (1 - tolerance) * load.value
