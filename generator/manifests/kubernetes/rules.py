"""Recording rules: what a fleet is scaled by and looked at with, computed from Triton's counters per pod and per model.

Facts that they rest on:
- The `*_duration_us` counters grow when a request ends, so a pod that is stuck looks idle in them; the gauge of pending
  requests does not. Source: triton-inference-server/core: src/infer_stats.cc, infer_request.cc.
- An ensemble's compute time is the sum of its steps', which count themselves; it has no queue. Sums over models leave
  ensembles out. Source: core: src/ensemble_scheduler/ensemble_scheduler.cc (RequestTracker).
- An ensemble's failed request counts twice. Source: core: ensemble_scheduler.cc (RespondIfError, DecrementCounter).
- The compute time of a Python model that calls others contains their queues: sums of compute leave callers out too.
- TensorRT-LLM takes requests as they come and queues them itself: Triton's queue is empty, `waiting` is not.
- A decoupled Python model's times end when `execute` returns, which may be long before its answers. What waits behind
  TensorRT-LLM's LLM API is in no metric. Source: python_backend: src/python_be.cc (ProcessRequests); measured on 2.51.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.workload import Workload

INTERVAL_S = 15  # between two scrapes, and two evaluations
POD = "namespace, job, pod"
MODEL = "namespace, job, model"
RATIO = "pod:triton_queue_to_compute:ratio"
PENDING = "pod:triton_pending_requests:sum"
REQUESTS = "pod:triton_requests:rate"
WAITING = "pod:trtllm_waiting_requests:average"
NEWER_METRICS = "24.11"  # the release since which servers publish the time of loads, and histograms
KV_CACHE = "pod:trtllm_kv_cache:fraction"
FAILURES = "model:triton_failures:ratio"
BATCH_SIZE = "model:triton_batch_size:average"
DURATIONS = {  # records of averages, by the counter that they are made from
    "nv_inference_request_duration_us": "model:triton_request_duration_us:average",
    "nv_inference_queue_duration_us": "model:triton_queue_duration_us:average",
    "nv_inference_compute_infer_duration_us": "model:triton_compute_infer_duration_us:average",
}


@dataclass(frozen=True)
class Span:
    """The times that rules look back, in seconds, as multiples of the interval between scrapes."""

    interval_s: int = INTERVAL_S

    @property
    def window(self) -> str:
        """What a rate is taken over: 4 scrapes, so that one may be lost."""
        return f"{4 * self.interval_s}s"

    @property
    def long(self) -> str:
        """What a trend is taken over."""
        return f"{20 * self.interval_s}s"


def publishes_engine_metrics(workload: Workload) -> bool:
    """Whether models publish `nv_trt_llm_*`: those of TensorRT-LLM's backend do, its LLM API behind a Python model not.

    Source: TensorRT-LLM: triton_backend/all_models/llmapi/tensorrt_llm/1/model.py, which makes no metrics.
    """
    return bool(workload.needs.engines)


def recording_rules(workload: Workload, interval_s: int = INTERVAL_S) -> list[Manifest]:
    """Return the rules; `interval_s` is the scrape interval in seconds, which their windows are multiples of."""
    span = Span(interval_s)
    records = {
        RATIO: queue_to_compute(workload, span),
        PENDING: f"sum by ({POD}) ({series(workload, 'nv_inference_pending_request_count', own_queue(workload))})",
        REQUESTS: pod_rate(workload, "nv_inference_request_success", span.window, own_queue(workload)),
    }
    if publishes_engine_metrics(workload):
        waiting = series(workload, "nv_trt_llm_request_metrics", 'request_type="waiting"')
        fraction = series(workload, "nv_trt_llm_kv_cache_block_metrics", 'kv_cache_block_type="fraction"')
        records[WAITING] = f"sum by ({POD}) (avg_over_time({waiting}[{span.window}]))"
        records[KV_CACHE] = f"max by ({POD}) ({fraction})"
    successes = _model_rate(workload, "nv_inference_request_success", span.window)
    for counter, record in DURATIONS.items():
        records[record] = f"{_model_rate(workload, counter, span.window)} / ({successes} > 0)"
    executions = _model_rate(workload, "nv_inference_exec_count", span.window)
    records[BATCH_SIZE] = f"{_model_rate(workload, 'nv_inference_count', span.window)} / ({executions} > 0)"
    records[FAILURES] = failures(workload, span)
    return [{"record": name, "expr": expression} for name, expression in records.items()]


def queue_to_compute(workload: Workload, span: Span) -> str:
    """Return the ratio of a pod's time in queues to its time in models, as a query.

    One of sums over the pod's models: a sum, or a mean, of the models' ratios has no meaning. Both rates are of the
    same window, so there is nothing to clamp, and the ratio is true for one request in an hour. A pod that computed
    nothing has 0 where nothing waits, and no value where something does, which an HPA takes for neither idle nor full.
    """
    queue = pod_rate(workload, "nv_inference_queue_duration_us", span.window, own_queue(workload))
    compute = pod_rate(workload, "nv_inference_compute_infer_duration_us", span.window, _computing(workload))
    pending = f"sum by ({POD}) ({series(workload, 'nv_inference_pending_request_count', own_queue(workload))})"
    return f"({queue} / ({compute} > 0)) or (({compute} == 0) unless ({pending} > 0))"


def failures(workload: Workload, span: Span) -> str:
    """Return the share of a model's requests that failed; what its client gave up is left out."""
    failed = _failed(workload, span.long, own_queue(workload))
    if workload.needs.ensembles:
        failed = f"({failed} or {_failed(workload, span.long, _ensembles(workload))} / 2)"
    success = _model_rate(workload, "nv_inference_request_success", span.long)
    return f"{failed} / (({failed} + {success}) > 0)"


def series(workload: Workload, name: str, *matchers: str) -> str:
    """Return a selector of a metric of the workload's pods: PodMonitor gives them its `job`."""
    own = (f'namespace="{workload.deploy.namespace}"', f'job="{workload.name}"', *filter(None, matchers))
    return f"{name}{{{','.join(own)}}}"


def pod_rate(workload: Workload, counter: str, window: str, *matchers: str) -> str:
    """Return a counter's rate per second and pod, as a query."""
    return f"sum by ({POD}) ({rate_of(workload, counter, window, *matchers)})"


def rate_of(workload: Workload, counter: str, window: str, *matchers: str) -> str:
    """Return a counter's rate per second, series by series, as a query."""
    return f"rate({series(workload, counter, *matchers)}[{window}])"


def _model_rate(workload: Workload, counter: str, window: str) -> str:
    return f"sum by ({MODEL}) ({rate_of(workload, counter, window)})"


def _failed(workload: Workload, window: str, matcher: str) -> str:
    failure = series(workload, "nv_inference_request_failure", 'reason!="CANCELED"', matcher)
    return f"sum by ({MODEL}) (rate({failure}[{window}]))"


def own_queue(workload: Workload) -> str:
    """Return the matcher of models whose waiting is their own."""
    return _without(workload.needs.ensembles)


def _computing(workload: Workload) -> str:
    """Return the matcher of models whose compute time is their own."""
    return _without({*workload.needs.ensembles, *workload.needs.callers})


def _ensembles(workload: Workload) -> str:
    return f'model=~"{_any_of(workload.needs.ensembles)}"'


def _without(names: Collection[str]) -> str:
    return f'model!~"{_any_of(names)}"' if names else ""


def _any_of(names: Collection[str]) -> str:
    # a dot is the one character of a model's name that a regex reads; in brackets it needs no backslash
    return "|".join(sorted(name.replace(".", "[.]") for name in names))
