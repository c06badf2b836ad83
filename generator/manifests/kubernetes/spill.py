"""When a region has more than it can answer, and how much of it another one should take: a rule, and an alert.

By the depth of its queues, not by how far away it is: a near region that makes a request wait is the slower one. No
object of Kubernetes moves traffic by a metric; who does it is said in the output's README.md.
"""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata
from tritonsmith.generator.manifests.kubernetes.monitoring import API
from tritonsmith.generator.manifests.kubernetes.rules import (
    INTERVAL_S,
    PENDING,
    WAITING,
    publishes_engine_metrics,
    series,
)
from tritonsmith.generator.manifests.workload import Workload

DEPTH = "region:triton_waiting_per_pod:average"
FRACTION = "region:triton_spill_over:fraction"
MOST = 0.5  # of a region's traffic: one that fails must not take the next one with it
_HOLD_S = 120  # how long a queue is that deep before it is said, and shallow before it is unsaid


def spill_rules(workload: Workload, region: str, interval_s: int = INTERVAL_S) -> list[Manifest]:
    """Return a region's PrometheusRule; none where it spills nowhere, or publishes no metrics."""
    settings = workload.deploy.regions[region]
    if not (settings.spill_to and workload.metrics_port):
        return []
    group = {
        "name": f"{workload.name}-spill-over",
        "interval": f"{interval_s}s",
        "rules": [*_records(workload, region), _alert(workload, region)],
    }
    document = {"apiVersion": API, "kind": "PrometheusRule"}
    return [{**document, "metadata": metadata(workload, "-spill-over"), "spec": {"groups": [group]}}]


def depth_query(workload: Workload) -> str:
    """Return the mean number of waiting requests per pod that has its models, as a query."""
    waiting = WAITING if publishes_engine_metrics(workload) else PENDING
    return f"avg by (namespace, job) ({series(workload, waiting)})"


def fraction_query(workload: Workload, region: str) -> str:
    """Return the share of new traffic to be sent away, as a query: what of the queue lies above the limit, or 0."""
    limit = f"{workload.deploy.regions[region].spill_above:g}"
    found = series(workload, DEPTH)
    return f"clamp_max(1 - {limit} / ({found} > {limit}), {MOST}) or 0 * {found}"


def _records(workload: Workload, region: str) -> list[Manifest]:
    labels = {"region": region, "spill_to": workload.deploy.regions[region].spill_to}
    return [
        {"record": DEPTH, "expr": depth_query(workload), "labels": labels},
        {"record": FRACTION, "expr": fraction_query(workload, region), "labels": labels},
    ]


def _alert(workload: Workload, region: str) -> Manifest:
    settings = workload.deploy.regions[region]
    summary = f"{region}: send {{{{ $value | humanizePercentage }}}} of new sessions to {settings.spill_to}"
    return {
        "alert": "TritonSpillOver",
        "expr": f"{series(workload, FRACTION)} > 0",
        "for": f"{_HOLD_S}s",
        "keep_firing_for": f"{_HOLD_S}s",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": summary,
            "description": f"More than {settings.spill_above:g} requests wait per pod of {workload.name}. Nothing in "
            f"the cluster moves traffic: weigh {settings.spill_to} at the global load balancer, if its own queues are "
            "short. README.md of the manifests says how.",
        },
    }
