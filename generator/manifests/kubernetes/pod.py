"""The pod of a server: its container, what it mounts, where it may run."""

from __future__ import annotations

from dataclasses import replace

from tritonsmith.generator.manifests.kubernetes.core import Manifest, Workload
from tritonsmith.generator.manifests.launch import launch_argv
from tritonsmith.generator.manifests.server import MODELS, ServerFolders, inside_container, options_of, server_argv


def pod_spec(workload: Workload) -> Manifest:
    """Return a server's pod."""
    return {"containers": [container(workload)]}


def container(workload: Workload) -> Manifest:
    """Return the container that serves."""
    return {
        "name": "triton",
        "image": workload.image,
        "args": command(workload),
        "ports": [{"name": name, "containerPort": number} for name, number in workload.ports.items()],
    }


def command(workload: Workload) -> list[str]:
    """Return what the container runs."""
    options = replace(
        inside_container(options_of(workload.server)), grpc_connection_age_ms=workload.grpc_connection_age_ms
    )
    argv = server_argv(options, "tritonserver", ServerFolders(MODELS))
    return launch_argv(workload.launch, argv) if workload.launch else argv
