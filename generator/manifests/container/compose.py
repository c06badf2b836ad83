"""The compose file of a container, as data."""

from __future__ import annotations

from typing import Any

from tritonsmith.generator.manifests.container.core import Container, shm_size_mib
from tritonsmith.generator.manifests.server import MODELS, ULIMITS

# What a store's client reads, handed on from where compose runs. Source: server: docs/user_guide/model_repository.md.
CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "as": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_AUTH_TYPE", "AZURE_STORAGE_CLIENT_ID"),
}
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"  # of these variables the one that names a file
TEMPORARY = "/tmp"  # noqa: S108 - the container's
VOLUMES = {"fetched": ("models", MODELS), "remote": ("copies", TEMPORARY)}
GPU = {"driver": "nvidia", "capabilities": ["gpu"]}


def compose(container: Container, repository: str) -> dict[str, Any]:
    """Return the compose file; `repository` is the folder's path, absolute or from where the file lies.

    Ports are published on this machine alone; BIND names another address.
    """
    workload = container.workload
    service: dict[str, Any] = {
        "image": container.image,
        "build": _build(container, repository),
        "ports": _ports(container),
        "volumes": _volumes(container, repository),
        "environment": CREDENTIALS[container.store.partition(":")[0]] if container.store else [],
        "read_only": True,
        # below it Triton copies what it reads from a store, which memory may not hold. Source: core: filesystem
        "tmpfs": [TEMPORARY] if container.source != "remote" else [],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "shm_size": f"{shm_size_mib(workload)}mb",
        "ulimits": ULIMITS if workload.needs.gpus else {},
        "stop_grace_period": f"{workload.drain_s}s",
        "restart": "unless-stopped",
    }
    if workload.needs.gpus:
        devices = [{**GPU, "count": workload.needs.gpus}]
        service["deploy"] = {"resources": {"reservations": {"devices": devices}}}
    made: dict[str, Any] = {"name": workload.name, "services": {"triton": {k: v for k, v in service.items() if v}}}
    return made | ({"volumes": {VOLUMES[container.source][0]: {}}} if container.source in VOLUMES else {})


def _build(container: Container, repository: str) -> dict[str, Any]:
    contexts = {"additional_contexts": {"models": repository}} if container.source == "baked" else {}
    return {"context": "."} | contexts


def _ports(container: Container) -> list[str]:
    workload = container.workload
    said = {name: getattr(workload.server, f"{name}_port", 0) for name in workload.ports}
    return [f"${{BIND:-127.0.0.1}}:{said[name] or port}:{port}" for name, port in workload.ports.items()]


def _volumes(container: Container, repository: str) -> list[dict[str, Any]]:
    volumes = [_bind(path, path) for path in container.outside]
    if container.source == "mounted":
        volumes.append(_bind(repository, MODELS))
    if container.store.startswith("gs:"):
        # without a key nothing is handed on, and nothing is mounted where nobody looks
        volumes.append(_bind(f"${{{KEY_FILE}:-/dev/null}}", f"${{{KEY_FILE}:-/run/no-key}}"))
    if container.source in VOLUMES:
        name, target = VOLUMES[container.source]
        volumes.append({"type": "volume", "source": name, "target": target})
    return volumes


def _bind(source: str, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target, "read_only": True}
