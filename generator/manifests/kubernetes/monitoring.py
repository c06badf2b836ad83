"""What the Prometheus operator reads: which pods are scraped, and the rules over what they say."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.alerts import alert_rules
from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata, serving_labels
from tritonsmith.generator.manifests.kubernetes.rules import INTERVAL_S, recording_rules
from tritonsmith.generator.manifests.workload import Workload

API = "monitoring.coreos.com/v1"


def pod_monitors(workload: Workload, interval_s: int = INTERVAL_S) -> list[Manifest]:
    """Return the PodMonitor: pods that answer, each by itself, every `interval_s` seconds (the default would be 30)."""
    if not workload.metrics_port:
        return []
    endpoint = {
        "port": workload.metrics_port,
        "path": "/metrics",
        "interval": f"{interval_s}s",
        "scrapeTimeout": f"{min(10, interval_s)}s",
    }
    spec = {
        "jobLabel": "app.kubernetes.io/instance",  # so that `job` is the workload's name in every namespace
        "selector": {"matchLabels": serving_labels(workload)},
        "podMetricsEndpoints": [endpoint],
    }
    return [{"apiVersion": API, "kind": "PodMonitor", "metadata": metadata(workload), "spec": spec}]


def prometheus_rules(workload: Workload, interval_s: int = INTERVAL_S) -> list[Manifest]:
    """Return the PrometheusRule: recording rules, and alerts over them."""
    if not workload.metrics_port:
        return []
    spec = {"groups": rule_groups(workload, interval_s)}
    return [{"apiVersion": API, "kind": "PrometheusRule", "metadata": metadata(workload), "spec": spec}]


def rule_groups(workload: Workload, interval_s: int = INTERVAL_S) -> list[Manifest]:
    """Return the groups of rules, as in a file of Prometheus' own."""
    rules = {"records": recording_rules(workload, interval_s), "alerts": alert_rules(workload, interval_s)}
    return [
        {"name": f"{workload.name}-{name}", "interval": f"{interval_s}s", "rules": found}
        for name, found in rules.items()
    ]
