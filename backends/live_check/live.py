"""`check --live` from end to end: stage the repository, ask the server, compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tritonsmith.backends.live_check.asking import ask_server
from tritonsmith.backends.live_check.compare import Comparison, compare
from tritonsmith.backends.live_check.stage import STOOD_IN_FOR, make_stage
from tritonsmith.backends.server.leftovers import run_folder
from tritonsmith.backends.toolchain import machine
from tritonsmith.backends.toolchain.find import SERVER_RELEASE, find_toolchain
from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.checks.case import Case, Target
from tritonsmith.generator.manifests.server import ServerOptions, options_of
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.write import write_repository

LOAD_LIMIT_S = 60.0


@dataclass(frozen=True)
class LiveReport:
    """What the embedded server, `target`, says of each model, beside what we say of it.

    `null_backends` are those of the models' backends in whose place a null backend stood.
    """

    target: Target
    comparisons: tuple[Comparison, ...]
    null_backends: tuple[str, ...] = ()

    @property
    def disagreements(self) -> tuple[Comparison, ...]:
        """The models about which we are wrong."""
        return tuple(comparison for comparison in self.comparisons if comparison.disagreement)

    @property
    def has_unforeseen_failures(self) -> bool:
        """Whether a model does not load by its own code, which no check runs."""
        return any(found.excuse and found.answer.is_own_code for found in self.comparisons)


def check_live(case: Case, path: Path, *, load_limit_s: float = LOAD_LIMIT_S) -> LiveReport:
    """Load each model of a case into the embedded server, in the mode of its target, and return what it says.

    `path` is the repository, or the spec that it came from, which is built first. Models are loaded as they are:
    nothing is changed for this machine. Each load has a limit; a server that hangs or crashes is replaced, and the
    other models go on. Nothing is left of any server.

    Raises: ToolMissingError; RepositoryError where it cannot be written; ServerError where no server starts.
    """
    toolchain = find_toolchain()
    asked = Case(case.repository, embedded_target(case.target))
    options = live_options(asked.target, load_limit_s)
    with _built(case.repository, path) as folder, run_folder() as run:
        stage = make_stage(toolchain, folder, asked, run)
        answers = ask_server(stage, stage.names, options)
    null = {model.config.backend for model in asked.models()} & STOOD_IN_FOR
    return LiveReport(asked.target, tuple(compare(asked, answers, stage.incomplete)), tuple(sorted(null)))


def embedded_target(target: Target) -> Target:
    """Return the server that can be asked here in place of the one that a repository is for."""
    return dataclasses.replace(target, release=RELEASES[SERVER_RELEASE], gpus=machine.gpu_count())


def live_options(target: Target, load_limit_s: float) -> ServerOptions:
    """Return how the server is started: as the repository's settings say, on free ports, without TLS and metrics."""
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


@contextmanager
def _built(repository: Repository, path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
        return
    with TemporaryDirectory(prefix="tritonsmith-live-") as folder:
        built = Path(folder) / repository.name
        write_repository(built, repository)
        yield built
