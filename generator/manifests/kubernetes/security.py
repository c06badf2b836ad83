"""Security contexts and the account: what Kubernetes calls the restricted profile, and a root that cannot be written.

Source: kubernetes.io, "Pod Security Standards"; server: build.py (the user 1000 in every image).
"""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata
from tritonsmith.generator.manifests.workload import Workload

USER = 1000


def pod_security() -> Manifest:
    """Return the pod's security context; volumes that can be are given to its group, without walking a whole claim."""
    identity = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    profile = {"fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}}
    return {**identity, **profile}


def container_security() -> Manifest:
    """Return a container's security context."""
    drop = {"drop": ["ALL"]}
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": drop}


def account_name(workload: Workload) -> str:
    """Return the service account of the pods: the user's, else one of their own."""
    return workload.deploy.service_account or workload.name


def service_accounts(workload: Workload) -> list[Manifest]:
    """Return the pods' own service account, which no token is mounted of; none where the user named one."""
    if workload.deploy.service_account:
        return []
    kind = {"apiVersion": "v1", "kind": "ServiceAccount"}
    return [{**kind, "metadata": metadata(workload), "automountServiceAccountToken": False}]
