"""How many replicas there are: an HPA on a metric of each pod, or KEDA, which can do without pods.

Both compute ceil(replicas x mean of the pods' metric / target) and leave a deviation of 10 % alone. Queueing is not
linear: near saturation the ratio of queue to compute is many times the target, so a step up is at most a doubling.
Source: kubernetes: pkg/controller/podautoscaler/replica_calculator.go; keda: pkg/scalers/prometheus_scaler.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, scale_target
from tritonsmith.generator.manifests.kubernetes.rules import (
    INTERVAL_S,
    KV_CACHE,
    PENDING,
    RATIO,
    WAITING,
    publishes_engine_metrics,
    series,
)
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.spec.deploy import Autoscale, ScaleMetric

LONGEST_STABILIZATION_S = 3600  # HPA's own limits
LONGEST_PERIOD_S = 1800
WAKES_ONLY = "1000000000"  # a target so far off that the trigger never asks for more than the one replica


@dataclass(frozen=True)
class PodMetric:
    """A record with one value per pod, and the mean of it that the fleet is held at."""

    record: str
    target: float


METRICS: dict[ScaleMetric, PodMetric] = {
    "queue_to_compute": PodMetric(RATIO, 1),
    "waiting": PodMetric(WAITING, 4),
    "kv_cache": PodMetric(KV_CACHE, 0.8),
}
_ENGINE_METRICS = ("waiting", "kv_cache")


def pod_metric(workload: Workload, autoscale: Autoscale) -> PodMetric:
    """Return what the fleet is scaled on.

    Raises: RepositoryError for a metric that its servers do not publish.
    """
    has_engine = publishes_engine_metrics(workload)
    on: ScaleMetric = autoscale.on or ("waiting" if has_engine else "queue_to_compute")
    where = f"deploy.autoscale.on: {on}"
    if on in _ENGINE_METRICS and not has_engine:
        raise RepositoryError(
            f"{workload.name} publishes no nv_trt_llm metrics, only TensorRT-LLM's backend does",
            where=where,
            hint="scale on queue_to_compute",
        )
    if autoscale.on is None and workload.needs.is_llm and not has_engine:
        raise RepositoryError(
            f"what waits in {workload.name}'s LLM API is in no metric of Triton's",
            where="deploy.autoscale",
            hint="serve it by TensorRT-LLM's backend, or leave autoscale out and scale by your gateway's metrics",
        )
    if not workload.metrics_port or workload.server.metrics.config.get("counter_latencies") == "false":
        # with counter_latencies=false no counter counts at all (core: metric_model_reporter.cc, IncrementCounter)
        raise RepositoryError(
            f"{workload.name}'s servers publish no counters to scale on",
            where=where,
            hint="leave server.metrics.enabled true, and counter_latencies out of server.metrics.config",
        )
    return PodMetric(METRICS[on].record, autoscale.target or METRICS[on].target)


def horizontal_pod_autoscalers(workload: Workload) -> list[Manifest]:
    """Return the HPA; none where nothing, or KEDA, scales."""
    autoscale = workload.deploy.autoscale
    if autoscale is None or autoscale.by != "hpa":
        return []
    metric = pod_metric(workload, autoscale)
    target = {"type": "AverageValue", "averageValue": quantity(metric.target)}
    spec = {
        "scaleTargetRef": scale_target(workload),
        "minReplicas": autoscale.minimum,
        "maxReplicas": autoscale.maximum,
        "metrics": [{"type": "Pods", "pods": {"metric": {"name": metric.record}, "target": target}}],
        "behavior": behavior(workload),
    }
    document = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    return [{**document, "metadata": metadata(workload), "spec": spec}]


def scaled_objects(workload: Workload) -> list[Manifest]:
    """Return KEDA's ScaledObject; none where nothing, or an HPA, scales."""
    autoscale = workload.deploy.autoscale
    if autoscale is None or autoscale.by != "keda":
        return []
    spec: Manifest = {
        "scaleTargetRef": scale_target(workload),
        "pollingInterval": INTERVAL_S,
        "cooldownPeriod": _calm_s(workload),  # before the last replica goes
        "minReplicaCount": autoscale.minimum,
        "maxReplicaCount": autoscale.maximum,
        # blind, it keeps what it has
        "fallback": {
            "failureThreshold": 3,
            "replicas": min(max(workload.deploy.replicas, autoscale.minimum, 1), autoscale.maximum),
            "behavior": "currentReplicasIfHigher",
        },
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(workload)}},
        "triggers": _triggers(workload, autoscale),
    }
    return [{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata(workload), "spec": spec}]


def fleet_query(workload: Workload, metric: PodMetric) -> str:
    """Return the sum over the pods, which KEDA divides by the target: as many replicas as the mean per pod asks for.

    A pod whose ratio is unknown, because requests wait and none ends, counts as one at its target: it is not spare.
    """
    known = series(workload, metric.record)
    if metric.record != RATIO:
        return f"sum({known})"
    return f"sum({known} or ({series(workload, PENDING)} > bool 0) * {metric.target:g})"


def prometheus_address(workload: Workload, autoscale: Autoscale) -> str:
    """Return where KEDA asks: the Prometheus operator's own Service where the spec does not say."""
    return autoscale.prometheus or f"http://prometheus-operated.{workload.deploy.monitoring}:9090"


def behavior(workload: Workload) -> Manifest:
    """Return how fast the number of replicas changes.

    Up at once, at most to double, and again when the new pods could have become ready: before, they only look idle.
    Down by one pod at a time, after what it takes to get a pod back.
    """
    period_s = min(LONGEST_PERIOD_S, max(60, workload.begin_s))
    up: list[dict[str, Any]] = [
        {"type": "Percent", "value": 100, "periodSeconds": period_s},
        {"type": "Pods", "value": 1, "periodSeconds": period_s},
    ]
    down = [{"type": "Pods", "value": 1, "periodSeconds": min(LONGEST_PERIOD_S, max(60, workload.grace_s))}]
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": up},
        "scaleDown": {"stabilizationWindowSeconds": _calm_s(workload), "selectPolicy": "Max", "policies": down},
    }


def quantity(value: float) -> str:
    """Return a number as Kubernetes' quantity, in thousandths where it is no whole one: its numbers have no point."""
    return f"{value:.0f}" if value == int(value) else f"{round(1000 * value)}m"


def _calm_s(workload: Workload) -> int:
    return min(LONGEST_STABILIZATION_S, max(300, 2 * workload.begin_s))


def _triggers(workload: Workload, autoscale: Autoscale) -> list[Manifest]:
    metric = pod_metric(workload, autoscale)
    # no value is an error, and the fallback's turn; without pods it is the rule
    nulls = "true" if autoscale.minimum == 0 else "false"
    address = prometheus_address(workload, autoscale)
    triggers = [_trigger(address, "load", fleet_query(workload, metric), f"{metric.target:g}", nulls)]
    if autoscale.wake_on:
        triggers.append(_trigger(address, "wake", autoscale.wake_on, WAKES_ONLY, "true"))
    return triggers


def _trigger(address: str, name: str, query: str, threshold: str, nulls: str) -> Manifest:
    found = {"serverAddress": address, "query": query, "threshold": threshold}
    found |= {"activationThreshold": "0", "ignoreNullValues": nulls}
    return {"type": "prometheus", "name": name, "metricType": "AverageValue", "metadata": found}
