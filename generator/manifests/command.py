"""What a container of a repository runs: tritonserver with its options, or what starts it."""

from __future__ import annotations

from dataclasses import replace

from tritonsmith.generator.catalog.options import known_words
from tritonsmith.generator.manifests.openai import front_end_command, only_tokenizer
from tritonsmith.generator.manifests.ranks import ranks_argv
from tritonsmith.generator.manifests.server import (
    MODELS,
    PORTS,
    ServerFolders,
    inside_container,
    options_of,
    server_argv,
)
from tritonsmith.generator.manifests.workload import Workload


def command(workload: Workload) -> list[str]:
    """Return what the container runs."""
    if workload.deploy.openai:
        return front_end_command(MODELS, only_tokenizer(workload.needs.tokenizers), PORTS)
    options = replace(
        inside_container(options_of(workload.server)), grpc_connection_age_ms=workload.grpc_connection_age_ms
    )
    argv = ranks_argv(workload, server_argv(options, "tritonserver", ServerFolders(repository_of(workload))))
    return known_words(argv, workload.release.name)


def repository_of(workload: Workload) -> str:
    """Return what tritonserver is told: where the container has the repository, or the store that it reads itself."""
    source = workload.deploy.repository
    return source.store if source.store is not None and source.fetch == "server" else MODELS
