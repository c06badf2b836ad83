"""Rules on autoscalers: what they scale, on what, between which numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.catalog.metrics import COUNTERS, GAUGES
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, items_at, number_at, place_at, quantity, text_at
from tritonsmith.generator.checks.manifests.objects import Object, are_together
from tritonsmith.generator.checks.manifests.pods import SCALABLE, Pod
from tritonsmith.generator.checks.manifests.queries import (
    HPA,
    KEDA,
    adapter_rules,
    custom_metrics,
    followed,
    has_default_rules,
    queries,
)
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.spec.tree import Node
from tritonsmith.generator.suggest import did_you_mean

_MICROSECONDS = re.compile(r"_us($|[_:])|microseconds")
_SHORTEST_US = 10_000  # below it any batching delay is above the target
_BUSY = re.compile(r"duty_cycle|GPU_UTIL|gpu_utilization", re.IGNORECASE)
_NAMED_ELSEWHERE = ("|", "DCGM_", "/", "keda")  # metrics of a cloud or of another exporter


@check_manifests("TK400", "what is scaled exists and can be scaled")
def targets_exist(case: Manifests) -> Iterator[Finding]:
    """An autoscaler of what is not there, or has no scale subresource, reports an error in its status and does
    nothing; a DaemonSet, a Job and a Pod have none. What an operator makes, and what the set has none of, may be in
    the cluster.

    Source: kubernetes: HorizontalPodAutoscaler (scaleTargetRef); lws: leaderworkerset_types.go (scale subresource).
    """
    for one, reference in case.scalers:
        kind, name = text_at(reference, "kind") or "Deployment", text_at(reference, "name")
        place = place_at(reference, "name")
        objects = {other.label: other for other in case.objects if are_together(other.namespace, one.namespace)}
        makers = {other.name: other for other in objects.values() if other.kind in SCALABLE}
        if kind in ("DaemonSet", "Job", "CronJob", "Pod"):
            message = f"a {kind} has no number of replicas to scale"
            yield one.error(place_at(reference, "kind"), message, remedy=f"scale one of {', '.join(SCALABLE)}")
        elif kind in SCALABLE and makers and f"{kind}/{name}" not in objects:
            near = f" There is {makers[name].label}." if name in makers else did_you_mean(name, makers)
            message = f"there is no {kind} '{name}' in the set.{near}"
            remedy = "name the workload with its kind, in the same namespace"
            yield (one.error if near else one.warning)(place, message, remedy=remedy)
        elif (owner := objects.get(f"{kind}/{name}")) is not None:
            api = text_at(reference, "apiVersion")
            if api and api != owner.api:
                message = f"{owner.label} is {owner.api}, not {api}"
                yield one.error(place_at(reference, "apiVersion"), message, remedy=f"apiVersion: {owner.api}")


@check_manifests("TK401", "a metric that is scaled on is made")
def metrics_are_made(case: Manifests) -> Iterator[Finding]:
    """A metric that no rule records and no adapter brings is "unable to fetch metrics" to the autoscaler, and the
    number of replicas stays. One that is spelled like none of the set's may be made elsewhere in the cluster.

    Source: kubernetes: HorizontalPodAutoscaler (custom metrics API); prometheus-adapter: docs/config.md.
    """
    records = {query.record for query in queries(case) if query.record}
    records |= {text_at(rule, "name", "as") or _series(rule) for rule in adapter_rules(case)}
    own = {*COUNTERS, *GAUGES}
    for one, metric, name in custom_metrics(case):
        is_elsewhere = any(mark in name for mark in _NAMED_ELSEWHERE)
        if name in records or name in own or is_elsewhere or (name.startswith("nv_") and has_default_rules(case)):
            continue
        place = place_at(metric, "metric", "name") if at(metric, "metric") else metric.place
        near = did_you_mean(name, records | own)
        message = f"nothing in the set makes '{name}'.{near}"
        remedy = "record it in a PrometheusRule, and bring it with the adapter"
        yield (one.error if near else one.warning)(place, message, remedy=remedy)


@check_manifests("TK402", "an autoscaler goes down slower than up")
def scaling_has_behavior(case: Manifests) -> Iterator[Finding]:
    """A server that loads for minutes is worth keeping: without `behavior` all pods above the target go at once, five
    minutes after the load fell, and double at each look while new ones load.

    Source: kubernetes: HorizontalPodAutoscaler (configurable scaling behavior, defaults).
    """
    for one, _ in case.scalers:
        if not _scales_servers(case, one):
            continue
        path = (
            ("spec", "behavior")
            if one.kind == HPA
            else ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior")
        )
        if one.at(*path) is None:
            message = "no behavior: it adds pods while others still load, and takes many at once"
            yield one.warning(one.place("spec"), message, remedy="behavior with a stabilization window and policies")


@check_manifests("TK403", "a target is not shorter than any batching delay")
def targets_are_not_microseconds(case: Manifests) -> Iterator[Finding]:
    """Triton's durations are microseconds: a target of 50 for a time in the queue is exceeded by every dynamic batch.

    Source: server: docs/user_guide/metrics.md (latencies); deploy/k8s-onprem's values.
    """
    for one, metric, name in custom_metrics(case):
        text = text_at(metric, "target", "averageValue") or text_at(metric, "target", "value")
        target = quantity(text or text_at(metric, "targetAverageValue"))
        if target is not None and _MICROSECONDS.search(name) and target < _SHORTEST_US:
            message = f"a target of {text or target} microseconds for {name}"
            yield one.warning(
                place_at(metric, "target"), message, remedy="a ratio of queue to compute, or 50000 and more"
            )


@check_manifests("TK404", "an autoscaler has a range", phase=Phase.APPLY)
def ranges_are_ranges(case: Manifests) -> Iterator[Finding]:
    """An HPA keeps at least 1 pod and at most maxReplicas; KEDA may go to 0.

    Source: kubernetes: pkg/apis/autoscaling/validation; keda: ScaledObject.
    """
    for one, _ in case.scalers:
        names = ("minReplicas", "maxReplicas") if one.kind == HPA else ("minReplicaCount", "maxReplicaCount")
        low, high = (number_at(one.node, "spec", name) for name in names)
        place = one.place("spec", names[0])
        if high is None and one.kind == HPA:
            yield one.error(one.place("spec"), "it has no maxReplicas", remedy="maxReplicas: as many as there are GPUs")
        elif low is not None and high is not None and low > high:
            yield one.error(place, f"{names[0]} {low} exceeds {names[1]} {high}", remedy="exchange them")
        elif low == 0 and one.kind == HPA:
            yield one.error(place, "an HPA does not scale to 0", remedy="minReplicas: 1, or KEDA")


@check_manifests("TK405", "KEDA knows what to do when Prometheus is away")
def keda_falls_back(case: Manifests) -> Iterator[Finding]:
    """Without `fallback` a fleet stays at the size that it had when the metrics went away.

    Source: keda: ScaledObject (fallback).
    """
    for one in case.of_kind(KEDA):
        has_query = any(text_at(trigger, "type") == "prometheus" for trigger in items_at(one.node, "spec", "triggers"))
        if has_query and one.at("spec", "fallback") is None:
            message = "it has no fallback: without Prometheus the fleet stays as it is"
            yield one.warning(one.place("spec"), message, remedy="fallback: {failureThreshold: 3, replicas: 2}")


@check_manifests("TK406", "the number of replicas is one's alone")
def replicas_are_the_scalers(case: Manifests) -> Iterator[Finding]:
    """A workload that says `replicas` and is scaled too goes back to that number at each apply.

    Source: kubernetes: HorizontalPodAutoscaler (migrating Deployments to horizontal autoscaling).
    """
    told = set()
    for pod in case.pods:
        scalers, owner = case.scalers_of(pod), pod.owner
        if owner in told or not scalers:
            continue
        told.add(owner)
        if owner.at("spec", "replicas") is not None:
            message = f"replicas is set by {scalers[0].label} too: each apply undoes its work"
            yield owner.warning(owner.place("spec", "replicas"), message, remedy="leave replicas out")
        for other in scalers[1:]:
            message = f"{owner.label} is scaled by {scalers[0].label} too"
            yield other.error(
                other.place("spec", "scaleTargetRef"), message, remedy="one autoscaler with several metrics"
            )


@check_manifests("TK407", "what is scaled on tells of the load")
def resources_tell_of_the_load(case: Manifests) -> Iterator[Finding]:
    """Of a server on a GPU the CPU tells nothing, and the GPU's utilization is full at a small load already; an HPA's
    Resource metrics are cpu and memory, and a utilization of them is one of the containers' requests.

    Source: kubernetes: HorizontalPodAutoscaler (resource metrics); NVIDIA: DCGM (GPU utilization).
    """
    for one in case.of_kind(HPA):
        pods = [pod for pod in case.pods if one in case.scalers_of(pod)]
        for metric in items_at(one.node, "spec", "metrics"):
            resource = text_at(metric, "resource", "name") or text_at(metric, "containerResource", "name")
            place = metric.place
            if resource and resource not in ("cpu", "memory"):
                message = f"an HPA has no resource metric '{resource}'"
                yield one.error(place, message, remedy="a Pods metric that a rule records")
            elif resource and any(pod.gpus for pod in pods):
                message = f"{resource} tells nothing of the load of a server on GPUs"
                yield one.warning(place, message, remedy="scale on waiting requests, or on queue to compute")
            elif resource and text_at(metric, "resource", "target", "type") == "Utilization":
                yield from _without_request(one, metric, resource, pods)
    for one, metric, name in custom_metrics(case):
        expression = next((query.text for query in queries(case) if query.record == name), name)
        if _BUSY.search(f"{name} {expression}"):
            message = f"'{name}' is how busy GPUs are, which is full long before requests wait"
            yield one.warning(metric.place, message, remedy="scale on waiting requests, or on queue to compute")


@check_manifests("TK408", "engines are scaled on their own queue")
def engines_are_scaled_on_their_queue(case: Manifests) -> Iterator[Finding]:
    """TensorRT-LLM takes requests at once and batches them in flight: they wait within what Triton counts as compute,
    and Triton's queue is empty however many wait.

    Source: tensorrtllm_backend: README (nv_trt_llm_request_metrics: waiting).
    """
    for one, place, asked in followed(case):
        pods = [pod for pod in case.pods if one in case.scalers_of(pod) and pod.server and pod.server.has_engines]
        text = " ".join(query.text for query in asked)
        if pods and "nv_inference_queue_duration_us" in text and "nv_trt_llm" not in text:
            message = "the queue of a server with in-flight batching is empty: requests wait in the engine"
            remedy = 'nv_trt_llm_request_metrics{request_type="waiting"}'
            yield one.warning(place, message, remedy=remedy)


def _series(rule: Node) -> str:
    return text_at(rule, "seriesQuery").partition("{")[0]


def _scales_servers(case: Manifests, one: Object) -> bool:
    """Whether an autoscaler is of servers; of what is not in the set too."""
    owners = [pod for pod in case.pods if one in case.scalers_of(pod)]
    return not owners or any(pod.server is not None for pod in owners)


def _without_request(one: Object, metric: Node, resource: str, pods: list[Pod]) -> Iterator[Finding]:
    for pod in pods:
        missing = [
            c.name for c in pod.containers if not (c.resource("requests", resource) or c.resource("limits", resource))
        ]
        if missing:
            message = f"utilization of {resource}, of which {', '.join(missing)} requests nothing"
            yield one.error(metric.place, message, remedy=f"request {resource} in every container")
