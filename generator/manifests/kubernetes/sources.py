"""Where a pod has the model repository from: its image, a claim, an OCI image, an object store."""

from __future__ import annotations

from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.security import container_security
from tritonsmith.generator.manifests.server import MODELS
from tritonsmith.generator.manifests.workload import Workload

FETCHER = "/opt/tritonsmith/fetch.py"  # in images of `deploy --container`: python3 fetch.py URL FOLDER
FETCH_MEMORY = "1Gi"  # eight blocks of 32 MiB at once, and the interpreter


def is_fetched(workload: Workload) -> bool:
    """Whether an init container copies the repository from a store."""
    source = workload.deploy.repository
    return source.store is not None and source.fetch == "init"


def volumes(workload: Workload) -> list[Manifest]:
    """Return the volume with the repository; none where the image has it, or the server fetches it."""
    source = workload.deploy.repository
    if source.claim:
        claim = {"claimName": source.claim, "readOnly": True}
        return [{"name": "models", "persistentVolumeClaim": claim}]
    if source.volume:
        return [{"name": "models", "image": {"reference": source.volume, "pullPolicy": "IfNotPresent"}}]
    return [{"name": "models", "emptyDir": {}}] if is_fetched(workload) else []


def mounts(workload: Workload) -> list[Manifest]:
    """Return where the server sees that volume: read-only, since Triton would take a new file for a change."""
    path = workload.deploy.repository.path.strip("/")
    below = {"subPath": path} if path and not is_fetched(workload) else {}
    return [{"name": volume["name"], "mountPath": MODELS, "readOnly": True, **below} for volume in volumes(workload)]


def credentials(workload: Workload) -> Manifest:
    """Return the store's variables, from a Secret that the user makes: none is written here."""
    secret = workload.deploy.repository.secret
    return {"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}


def fetch_containers(workload: Workload, environment: list[Manifest], scratch: list[Manifest]) -> list[Manifest]:
    """Return the init container that copies the repository from a store, each file checked; none elsewhere."""
    if not is_fetched(workload):
        return []
    resources = {"requests": {"cpu": "1", "memory": FETCH_MEMORY}, "limits": {"memory": FETCH_MEMORY}}
    return [
        {
            "name": "fetch",
            "image": workload.image,
            "args": ["python3", FETCHER, str(workload.deploy.repository.store), MODELS],
            "env": environment,
            **credentials(workload),
            "resources": resources,
            "securityContext": container_security(),
            "volumeMounts": [{"name": "models", "mountPath": MODELS}, *scratch],
        }
    ]
