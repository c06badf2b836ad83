"""`check --live` from end to end: stage the repository, ask the server, compare."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tritonsmith.backends.live_check.asking import ask_server
from tritonsmith.backends.live_check.compare import Comparison, compare
from tritonsmith.backends.live_check.stage import make_stage
from tritonsmith.backends.server.leftovers import run_folder
from tritonsmith.backends.toolchain import machine
from tritonsmith.backends.toolchain.find import SERVER_RELEASE, Toolchain, find_toolchain
from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.checks.case import Case, Target
from tritonsmith.generator.manifests.server import ServerOptions, options_of
from tritonsmith.generator.repository.core import Repository

LOAD_LIMIT_S = 60.0


def embedded_target(target: Target) -> Target:
    """Return the server that can be asked here in place of the one that a repository is for."""
    return dataclasses.replace(target, release=RELEASES[SERVER_RELEASE], gpus=machine.gpu_count())


def check_live(
    repository: Repository,
    folder: Path,
    target: Target,
    *,
    load_limit_s: float = LOAD_LIMIT_S,
    toolchain: Toolchain | None = None,
) -> list[Comparison]:
    """Load each model of a repository, which lies in `folder`, into the embedded server; return what it says.

    Models are loaded as they are: nothing is changed for this machine. `target` is from `embedded_target`. Each load
    has a limit; a server that hangs or crashes is replaced, and the other models go on. Nothing is left of any.

    Raises: ToolMissingError; RepositoryError where there is no repository; ServerError where no server starts.
    """
    case = Case(repository, target)
    options = live_options(target, load_limit_s)
    with run_folder() as run:
        stage = make_stage(toolchain or find_toolchain(), folder, case, run)
        return compare(case, ask_server(stage, stage.names, options))


def live_options(target: Target, load_limit_s: float) -> ServerOptions:
    """Return how the server is started: as the repository's settings say, on free ports and without TLS."""
    options = options_of(target.server) if target.server else ServerOptions()
    return dataclasses.replace(
        options,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        allow_metrics=False,
        tls={},
        disable_auto_complete_config=not target.is_auto_complete,
        load_limit_s=load_limit_s,
    )
