"""Probes: when a pod has started, when it takes requests, when it is beyond help."""

from __future__ import annotations

import math

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.workload import Workload

STARTUP_PERIOD_S = 10


def probes(workload: Workload) -> Manifest:
    """Return the three probes of a container, all at its HTTP port.

    Until the startup probe has succeeded once, the others do not run: no liveness probe kills a pod that still loads.
    Its budget is the time in which the repository is read, and a margin.
    """
    failures = math.ceil(workload.startup_s / STARTUP_PERIOD_S)
    return {
        "startupProbe": _probe("/v2/health/ready", STARTUP_PERIOD_S, 5, failures),
        "readinessProbe": _probe("/v2/health/ready", 5, 3, 3),
        "livenessProbe": _probe("/v2/health/live", 10, 10, 6),  # a minute: a busy server is no dead one
    }


def _probe(path: str, period_s: int, timeout_s: int, failures: int) -> Manifest:
    get = {"path": path, "port": "http"}
    return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": timeout_s, "failureThreshold": failures}
