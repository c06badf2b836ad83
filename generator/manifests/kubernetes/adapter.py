"""prometheus-adapter's rule: brings a record of Prometheus to the API where an HPA looks for a pod's metric.

Source: kubernetes-sigs/prometheus-adapter: docs/config.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.scaling import pod_metric
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.manifests.yaml_text import to_yaml

FILE = "prometheus-adapter.values.yaml"


def adapter_values(workload: Workload) -> dict[str, bytes]:
    """Return the values for the adapter's Helm chart, by path; none where no HPA scales, in any region."""
    said = [workload.deploy.autoscale, *(region.autoscale for region in workload.deploy.regions.values())]
    scalers = [autoscale for autoscale in said if autoscale is not None and autoscale.by == "hpa"]
    records = dict.fromkeys(pod_metric(workload, autoscale).record for autoscale in scalers)
    if not records:
        return {}
    values: Mapping[str, Manifest] = {"rules": {"custom": [adapter_rule(record) for record in records]}}
    return {FILE: to_yaml([values]).encode()}


def adapter_rule(record: str) -> Manifest:
    """Return the rule for a record that has one value per pod, under its own name."""
    labels = {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}
    return {
        "seriesQuery": f'{record}{{namespace!="",pod!=""}}',
        "resources": {"overrides": labels},
        "name": {"as": record},
        # one series per pod; where Prometheus has replicas of itself, they say the same
        "metricsQuery": "max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
    }
