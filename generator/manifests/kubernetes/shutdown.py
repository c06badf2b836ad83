"""How a pod ends: it leaves the endpoints first, then its server drains, and only then it may be killed."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.workload import Workload

NATIVE_SLEEP_SINCE = (1, 30)  # PodLifecycleSleepAction, on by default


def lifecycle(workload: Workload) -> Manifest:
    """Return the hook that delays SIGTERM, at which Triton refuses connections, until nobody opens any to the pod."""
    seconds = workload.deploy.pre_stop_s
    if workload.deploy.kubernetes_version >= NATIVE_SLEEP_SINCE:
        return {"preStop": {"sleep": {"seconds": seconds}}}
    return {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}
