"""Alerts of a fleet: what an operator has to know before the users say it."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, object_name
from tritonsmith.generator.manifests.kubernetes.rules import (
    FAILURES,
    INTERVAL_S,
    KV_CACHE,
    NEWER_METRICS,
    POD,
    Span,
    own_queue,
    publishes_engine_metrics,
    rate_of,
    series,
)
from tritonsmith.generator.manifests.workload import Workload

FAILURE_SHARE = 0.05
KV_CACHE_SHARE = 0.95
LOAD_SHARE = 0.8  # of a start's budget: what comes close to it is killed by the startup probe on a slower day
GROWTH_SHARE = 0.1  # of a queue's mean length, over the time that a trend is taken


def alert_rules(workload: Workload, interval_s: int = INTERVAL_S) -> list[Manifest]:
    """Return the alerts; `interval_s` is the scrape interval in seconds, which their windows are multiples of."""
    span = Span(interval_s)
    alerts = [
        _pod_stuck(workload, span),
        _requests_fail(workload, span),
        _queue_grows(workload, span, "scheduler", "nv_inference_pending_request_count"),
        _pod_not_ready(workload),
        _metrics_missing(workload, span),
    ]
    if workload.release.name >= NEWER_METRICS:
        alerts.append(_load_takes_long(workload))
    if publishes_engine_metrics(workload):
        waiting = 'request_type="waiting"'
        alerts += [
            _engine_stuck(workload, span),
            _queue_grows(workload, span, "engine", "nv_trt_llm_request_metrics", waiting),
            _kv_cache_full(workload, span),
        ]
    return alerts


def _pod_stuck(workload: Workload, span: Span) -> Manifest:
    ends = ("nv_inference_request_success", "nv_inference_request_failure")
    none_ends = " ".join(f"unless ({_model_in_pod(rate_of(workload, counter, span.window))} > 0)" for counter in ends)
    waiting = series(workload, "nv_inference_pending_request_count", own_queue(workload))
    return _alert(
        "TritonPodStuck",
        f"({_model_in_pod(waiting)} > 0) {none_ends}",
        16 * span.interval_s,
        "critical",
        "{{ $labels.pod }}: {{ $value }} requests wait for {{ $labels.model }} and none ends",
        "No request of the model ended for {time} while some wait. Its metrics of time stand still, so it looks idle: "
        "look at the pod's log, then delete it.",
    )


def _model_in_pod(query: str) -> str:
    return f"sum by ({POD}, model) ({query})"


def _engine_stuck(workload: Workload, span: Span) -> Manifest:
    active = series(workload, "nv_trt_llm_request_metrics", 'request_type="active"')
    steps = series(workload, "nv_trt_llm_general_metrics", 'general_type="iteration_counter"')
    return _alert(
        "TritonEngineStuck",
        f"(sum by ({POD}) ({active}) > 0) unless (sum by ({POD}) (changes({steps}[{span.window}])) > 0)",
        16 * span.interval_s,
        "critical",
        "{{ $labels.pod }}: the engine has {{ $value }} requests and makes no step",
        "The engine's counter of iterations stood still for {time}: a rank may be lost. Delete the pod; of several "
        "nodes, the leader's.",
    )


def _requests_fail(workload: Workload, span: Span) -> Manifest:
    return _alert(
        "TritonRequestsFail",
        f"{series(workload, FAILURES)} > {FAILURE_SHARE}",
        20 * span.interval_s,
        "warning",
        "{{ $labels.model }}: {{ $value | humanizePercentage }} of its requests fail",
        "Longer than {time}, requests that clients cancelled not counted. The label `reason` of "
        "nv_inference_request_failure and the servers' logs say why.",
    )


def _queue_grows(workload: Workload, span: Span, queue: str, gauge: str, matcher: str = "") -> Manifest:
    waiting = series(workload, gauge, matcher)
    grown = f"sum by (namespace, job) (deriv({waiting}[{span.long}])) * {20 * span.interval_s}"
    mean = f"sum by (namespace, job) (avg_over_time({waiting}[{span.long}]))"
    least = f"sum by (namespace, job) (min_over_time({waiting}[{span.long}]))"
    return _alert(
        "TritonQueueGrows",
        f"({grown} > {GROWTH_SHARE} * {mean}) and ({least} > 0)",
        40 * span.interval_s,
        "warning",
        f"{workload.name}: the {queue}'s queue grows",
        "It never emptied and grew for {time}: the fleet is too small, at its maximum, or a pod does not work.",
        queue=queue,
    )


def _kv_cache_full(workload: Workload, span: Span) -> Manifest:
    return _alert(
        "TritonKvCacheFull",
        f"{series(workload, KV_CACHE)} > {KV_CACHE_SHARE}",
        20 * span.interval_s,
        "warning",
        "{{ $labels.pod }}: {{ $value | humanizePercentage }} of the KV cache is used",
        "For {time}: requests wait for blocks or are paused. More replicas, shorter outputs, or a larger share of "
        "memory for the cache help.",
    )


def _pod_not_ready(workload: Workload) -> Manifest:
    # kube-state-metrics knows pods by name alone; another workload's name may begin with this one's
    ordinal = r"[0-9]+(-[0-9]+)?"
    predictor = "(-predictor)?" if workload.deploy.kserve else ""
    pods = f"{object_name(workload)}{predictor}-{ordinal if workload.needs.nodes > 1 else '[a-z0-9]+-[a-z0-9]+'}"
    matchers = f'namespace="{workload.deploy.namespace}",pod=~"{pods}",condition="true"'
    return _alert(
        "TritonPodNotReady",
        f"kube_pod_status_ready{{{matchers}}} == 0",
        workload.ready_s + 60,
        "warning",
        "{{ $labels.pod }} is not ready",
        "For {time}, longer than images and a start may take: `kubectl describe pod` and its log say why.",
    )


def _metrics_missing(workload: Workload, span: Span) -> Manifest:
    up = series(workload, "up")
    sleeps = workload.deploy.autoscale is not None and workload.deploy.autoscale.minimum == 0
    return _alert(
        "TritonMetricsMissing",
        f"{up} == 0" if sleeps else f"({up} == 0) or absent({up})",
        max(20 * span.interval_s, workload.startup_s),
        "warning",
        f"{workload.name}: a pod's metrics are missing",
        "For {time}; without them nothing is scaled and no other alert fires. Does Prometheus select the "
        "PodMonitor, and does a NetworkPolicy let it in?",
    )


def _load_takes_long(workload: Workload) -> Manifest:
    limit_s = round(LOAD_SHARE * workload.startup_s)
    return _alert(
        "TritonLoadTakesLong",
        f"max by ({POD}, model) ({series(workload, 'nv_model_load_duration_secs')}) > {limit_s}",
        0,
        "warning",
        "{{ $labels.pod }}: {{ $labels.model }} took {{ $value | humanizeDuration }} to load",
        f"A pod that is not ready {workload.startup_s} s after its start is killed: raise deploy.start_margin_s, or "
        "set deploy.load_mib_per_s to what the storage gives.",
    )


def _alert(
    name: str, expression: str, for_s: int, severity: str, summary: str, description: str, **labels: str
) -> Manifest:
    time = f"{for_s} s" if for_s % 60 else f"{for_s // 60} min"
    return {
        "alert": name,
        "expr": expression,
        "for": f"{for_s}s",
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary, "description": description.replace("{time}", time)},
    }
