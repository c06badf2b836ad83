"""Whether a fleet is scaled by what is true: `python -m tritonsmith.perf.bench.scaling`.

Two embedded servers, scraped as pods `busy` and `idle` by a real Prometheus with the rules of `deploy --kubernetes`.
Under a steady load, below one request a second, without traffic, and with a stuck model, the queue-to-compute ratio
that an HPA would be given is held against the servers' own statistics over the same window, and beside it stands what
the rule in NVIDIA's autoscaling tutorials says.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from google.protobuf.json_format import MessageToDict

from tritonsmith.backends.client.base import Client, InferRequest, Tensor, connect
from tritonsmith.backends.client.counters import parse_counters
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.toolchain.prometheus import fetch_prometheus
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, TritonsmithError
from tritonsmith.generator.home import home_folder
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.rules import PENDING, RATIO, Span, series
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.generator.manifests.workload import Workload, plan_workload
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.scraping import START_LIMIT_S, Scraping, scraping
from tritonsmith.perf.statistics import median

INTERVAL_S = 5
TOLERANCE = 0.1  # of an HPA's
TARGET = 1.0
LEAST = 2  # recorded ratios that a look takes
WATCH_S = 0.02  # between two readings of a server's statistics; a scrape in a burst of requests falls between two
GOAL_ERROR = 0.05
TUTORIAL = "triton:queue_compute:ratio"
STEPS = ("first", "second")
ENSEMBLE = "chain"
FOREVER_MS = 1e7
SLEEPING = """
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb.get_input_tensor_by_name(request, "ms").as_numpy()
            time.sleep(float(values.ravel()[0]) / 1000)
            responses.append(pb.InferenceResponse([pb.Tensor("half_ms", values / 2)]))
        return responses
"""
STEP = """backend: "python"
max_batch_size: 1
input { name: "ms" data_type: TYPE_FP32 dims: 1 }
output { name: "half_ms" data_type: TYPE_FP32 dims: 1 }
instance_group { kind: KIND_CPU count: 1 }
"""
CHAIN = """platform: "ensemble"
max_batch_size: 1
input { name: "ms" data_type: TYPE_FP32 dims: 1 }
output { name: "quarter_ms" data_type: TYPE_FP32 dims: 1 }
ensemble_scheduling {
  step {
    model_name: "first" model_version: -1
    input_map { key: "ms" value: "ms" } output_map { key: "half_ms" value: "h" }
  }
  step {
    model_name: "second" model_version: -1
    input_map { key: "ms" value: "h" } output_map { key: "half_ms" value: "quarter_ms" }
  }
}
"""


@click.command()
@click.option("--quick", is_flag=True, help="Scrape each second, a fifth of the time; nothing is written.")
def main(quick: bool) -> None:
    """Measure how true the ratio is that a fleet is scaled by."""
    interval_s = 1 if quick else INTERVAL_S
    with tempfile.TemporaryDirectory(prefix="tritonsmith-scaling-") as folder:
        result = measure(Path(folder), interval_s)
    if not quick:
        write_result("scaling", result)
    console.result("\n".join(f"{name}: {value}" for name, value in result.items()))


def measure(folder: Path, interval_s: int) -> dict[str, Any]:
    """Return the phases' ratios and how far they are from the truth.

    Raises: ServerError; ToolMissingError where Prometheus cannot be had.
    """
    repository = write_chain(folder / "repository")
    workload = plan_workload(read_repository(repository))
    programs = fetch_prometheus(home_folder())
    with ExitStack() as stack:
        options = ServerOptions(exit_timeout_secs=2)
        busy, idle = (stack.enter_context(embedded_server(repository, options)) for _ in range(2))
        pods = {"busy": busy.metrics_url, "idle": idle.metrics_url}
        prometheus = stack.enter_context(
            scraping(
                programs, folder / "prometheus", workload, pods, interval_s=interval_s, more=[_tutorial(interval_s)]
            )
        )
        watch = stack.enter_context(watching(busy))
        phases = _phases(busy, Fleet(workload, prometheus, watch))
    return {"interval_s": interval_s, "window": Span(interval_s).window, "target": TARGET, "phases": phases} | {
        "goal": f"an error <= {GOAL_ERROR}; idle: 0; stuck: no ratio, TritonPodStuck fires"
    }


def _phases(busy: Server, fleet: Fleet) -> dict[str, Any]:
    interval_s = fleet.prometheus.interval_s
    found: dict[str, Any] = {}
    with clients(busy, 6, 5.0):
        found["steady"] = fleet.look(phase_s=24 * interval_s)
    with clients(busy, 3, 100.0, pause_s=2 * interval_s):  # three at once, and long nothing
        found["rare"] = fleet.look(phase_s=36 * interval_s)
    time.sleep(5 * interval_s)
    found["idle"] = fleet.now()
    with clients(busy, 3, FOREVER_MS):
        deadline_s = time.monotonic() + 40 * interval_s
        begin_s = time.monotonic()
        while not fleet.is_stuck() and time.monotonic() < deadline_s:
            time.sleep(interval_s / 4)
        found["stuck"] = fleet.now() | {"told": fleet.is_stuck(), "told_after_s": round(time.monotonic() - begin_s)}
    return found


@dataclass(frozen=True)
class Fleet:
    """What is looked at: Prometheus, and the busy server's own statistics."""

    workload: Workload
    prometheus: Scraping
    watch: Watch

    @property
    def window_s(self) -> int:
        """What rates are taken over."""
        return 4 * self.prometheus.interval_s

    def look(self, phase_s: float, begin_s: float | None = None) -> dict[str, Any]:
        """Wait, and return what was recorded once the window lay in the phase, beside the truth.

        A rate is between the first scrape in its window and the last; so is the truth. With `begin_s` the phase has
        begun then, and goes on for so long. It is looked at longer where a busy machine has recorded too little.

        Raises: ServerError where nothing is recorded for long.
        """
        begin_s = begin_s or time.time()
        time.sleep(phase_s)
        deadline_s = time.monotonic() + START_LIMIT_S
        while len(recorded := self._recorded_since(begin_s)) < LEAST and time.monotonic() < deadline_s:
            time.sleep(self.prometheus.interval_s)
        if not recorded:
            raise ServerError("Prometheus recorded no ratio", where=series(self.workload, RATIO))
        truths = [self.watch.ratio(*span) for span in recorded]
        errors = [abs(value - truth) / truth for value, truth in zip(recorded.values(), truths, strict=True)]
        return {
            "evaluations": len(recorded),
            "requests_per_s": round(self.watch.requests_per_s(begin_s, time.time()), 3),
            "ratio": round(median(list(recorded.values())), 4),
            "truth": round(median(truths), 4),
            "within_goal": sum(error <= GOAL_ERROR for error in errors),
            "median_error": round(median(errors), 4),
            "worst_error": round(max(errors), 4),
        } | self.now()

    def _recorded_since(self, begin_s: float) -> dict[tuple[float, float], float]:
        """Return the ratios whose window lay in the phase, by their windows' first and last scrape."""
        ratio, up = (series(self.workload, name, 'pod="busy"') for name in (RATIO, "up"))
        span_s = math.ceil(time.time() - begin_s)
        scrapes = [at_s for at_s, _ in self.prometheus.samples(up, span_s)]
        return {
            (within[0], within[-1]): value
            for at_s, value in self.prometheus.samples(ratio, span_s)
            if at_s - self.window_s > begin_s
            and len(within := [scrape_s for scrape_s in scrapes if at_s - self.window_s <= scrape_s <= at_s]) > 1
        }

    def now(self) -> dict[str, Any]:
        """Return each pod's ratio and what an HPA of two pods makes of it, by our rule and by the tutorials'."""
        ours = self.prometheus.by_pod(series(self.workload, RATIO))
        theirs = self.prometheus.by_pod(f"sum by (pod) ({series(self.workload, TUTORIAL)})")
        waiting = self.prometheus.by_pod(series(self.workload, PENDING))
        return {
            "by_pod": _rounded(ours),
            "pending": _rounded(waiting),
            "replicas": desired_replicas({"busy": ours.get("busy"), "idle": ours.get("idle")}, TARGET),
            "tutorial_by_pod": _rounded(theirs),
            "tutorial_replicas": desired_replicas({"busy": theirs.get("busy"), "idle": theirs.get("idle")}, TARGET),
        }

    def is_stuck(self) -> bool:
        """Whether the alert of a stuck pod fires, and for the busy one alone."""
        alert = 'ALERTS{alertname="TritonPodStuck",alertstate="firing"}'
        return set(self.prometheus.by_pod(alert)) == {"busy"}


def desired_replicas(values: Mapping[str, float | None], target: float) -> int:
    """Return how many replicas an HPA asks for, given a metric by pod; None is a pod without a value.

    Such a pod counts as 0 where the others ask for more, and as being at its target where they ask for less.
    Source: kubernetes: pkg/controller/podautoscaler/replica_calculator.go (calcPlainMetricReplicas).
    """
    known = [value for value in values.values() if value is not None]
    if not known:
        return len(values)  # an error there: nothing changes
    asked = sum(known) / len(known) / target
    missing = (0.0 if asked > 1 else target) * (len(values) - len(known))
    used = (sum(known) + missing) / len(values) / target
    if abs(used - 1) <= TOLERANCE or (asked > 1) != (used > 1):
        return len(values)
    return math.ceil(used * len(values))


@dataclass
class Watch:
    """A server's counters at times (of the clock, in s): nanoseconds in queues and in models, and requests."""

    times_s: list[float] = field(default_factory=list)
    counts: list[tuple[float, float, float]] = field(default_factory=list)

    def ratio(self, begin_s: float, end_s: float) -> float:
        """Return the time in queues over that in models, between two times."""
        queue, compute, _ = self._between(begin_s, end_s)
        return queue / compute if compute else math.nan

    def requests_per_s(self, begin_s: float, end_s: float) -> float:
        """Return how many requests a step answered in a second."""
        return self._between(begin_s, end_s)[2] / len(STEPS) / (end_s - begin_s)

    def _between(self, begin_s: float, end_s: float) -> tuple[float, float, float]:
        queue, compute, requests = (b - a for a, b in zip(self._at(begin_s), self._at(end_s), strict=True))
        return queue, compute, requests

    def _at(self, time_s: float) -> tuple[float, float, float]:
        place = min(max(bisect_left(self.times_s, time_s), 1), len(self.times_s) - 1)
        early_s, late_s = self.times_s[place - 1 : place + 1]
        share = min(1.0, max(0.0, (time_s - early_s) / (late_s - early_s)))
        early, late = self.counts[place - 1 : place + 1]
        queue, compute, requests = (a + share * (b - a) for a, b in zip(early, late, strict=True))
        return queue, compute, requests


@contextmanager
def watching(server: Server) -> Iterator[Watch]:
    """Read a server's statistics all the time while the block runs."""
    watch, is_over = Watch(), threading.Event()

    def read() -> None:
        with connect(server.grpc_url) as client:
            while not is_over.is_set():
                counts = counted(client, STEPS)
                watch.times_s.append(time.time())
                watch.counts.append(counts)
                is_over.wait(WATCH_S)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield watch
    finally:
        is_over.set()
        thread.join()


def counted(client: Client, models: Collection[str]) -> tuple[float, float, float]:
    """Return models' nanoseconds in queues and in computing, and their requests, since they were loaded."""
    document = MessageToDict(client.statistics(), preserving_proto_field_name=True)
    found = [parse_counters(document, model) for model in models]
    queue, compute = (sum(counters.phase_ns[phase] for counters in found) for phase in ("queue", "compute_infer"))
    return queue, compute, sum(counters.requests for counters in found)


@contextmanager
def clients(server: Server, count: int, ms: float, pause_s: float = 0.0) -> Iterator[None]:
    """Keep so many clients asking while the block runs, all at once after each pause where there is one.

    `ms` is how long the first step takes for each request.
    """
    is_over, meeting = threading.Event(), threading.Barrier(count)
    is_endless = ms >= FOREVER_MS
    tensor = Tensor("ms", "FP32", np.full((1, 1), ms, np.float32))

    def ask() -> None:
        with connect(server.grpc_url) as client:
            while not is_over.wait(pause_s):
                if pause_s:
                    with suppress(threading.BrokenBarrierError):
                        meeting.wait()
                with suppress(TritonsmithError) if is_endless else nullcontext():
                    client.infer(InferRequest(ENSEMBLE, [tensor]), timeout_s=1 if is_endless else 600)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        meeting.abort()
        for thread in threads:
            thread.join()


def write_chain(root: Path) -> Path:
    """Write a repository of an ensemble and its two steps, each of which sleeps for as long as it is told."""
    for name in STEPS:
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(STEP)
        (root / name / "1" / "model.py").write_text(SLEEPING)
    (root / ENSEMBLE / "1").mkdir(parents=True)
    (root / ENSEMBLE / "1" / ".keep").touch()
    (root / ENSEMBLE / "config.pbtxt").write_text(CHAIN)
    return root


def _tutorial(interval_s: int) -> Manifest:
    """Return the rule of NVIDIA's tutorials. Source: tutorials: TensorRT-LLM_Autoscaling_and_Load_Balancing."""
    window = Span(interval_s).window
    queue, compute = (f"rate(nv_inference_{part}_duration_us[{window}])" for part in ("queue", "compute_infer"))
    rule = {"record": TUTORIAL, "expr": f"{queue} / clamp_min({compute}, 1)"}
    return {"name": "tutorial", "interval": f"{interval_s}s", "rules": [rule]}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in sorted(values.items())}


if __name__ == "__main__":
    main()
