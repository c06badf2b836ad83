"""The embedded server: started on a private view of a repository, loaded model by model, ended without a trace."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonsmith.backends.control import Control, ModelState
from tritonsmith.backends.leftovers import run_folder
from tritonsmith.backends.options import ServerFolders, ServerOptions, server_argv
from tritonsmith.backends.ports import choose_ports
from tritonsmith.backends.toolchain import Toolchain, find_toolchain
from tritonsmith.backends.view import make_backends, make_view
from tritonsmith.generator.errors import ServerError

START_LIMIT_S = 30.0
DEFAULTS = ServerOptions()


@dataclass
class Server:
    """A running embedded server. URLs are "host:port"; `notices` says what was changed for this machine."""

    process: subprocess.Popen[bytes]
    options: ServerOptions
    log: Path
    models: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The process id of tritonserver, which also leads its process group."""
        return self.process.pid

    @property
    def http_url(self) -> str:
        """Where HTTP is answered."""
        return f"{_reachable(self.options.host)}:{self.options.http_port}"

    @property
    def grpc_url(self) -> str:
        """Where gRPC is answered."""
        return f"{_reachable(self.options.host)}:{self.options.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus metrics are answered, at /metrics."""
        return f"{_reachable(self.options.host)}:{self.options.metrics_port}"

    @property
    def control(self) -> Control:
        """The control endpoints."""
        return Control(self.http_url)

    def load(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        """Load a model, or load it again with `config` (a whole ModelConfig as JSON) instead of its own."""
        self.control.load(name, config, timeout_s=self.options.load_limit_s)

    def unload(self, name: str) -> None:
        """Unload a model."""
        self.control.unload(name)

    def states(self) -> list[ModelState]:
        """Return the state of every model."""
        return self.control.index()


@contextmanager
def embedded_server(
    repository: Path, options: ServerOptions = DEFAULTS, toolchain: Toolchain | None = None
) -> Iterator[Server]:
    """Serve a model repository while the block runs; afterwards nothing of the server is left, whatever happened.

    Raises: ToolMissingError, ServerError where it does not start or a model does not load.
    """
    toolchain = toolchain or find_toolchain()
    with run_folder() as run:
        models = make_view(repository, run / "models")
        make_backends(toolchain, run / "backends")
        server = start_server(toolchain, options, run)
        try:
            server.models = tuple(models)
            for name in models:
                server.load(name)
            yield server
        finally:
            stop_server(server)


def start_server(toolchain: Toolchain, options: ServerOptions, run: Path) -> Server:
    """Start tritonserver without models on the view in `run` and wait until it answers."""
    wanted = {"http": options.http_port, "grpc": options.grpc_port}
    wanted |= {"metrics": options.metrics_port} if options.allow_metrics else {}
    ports = choose_ports(options.host, wanted)
    options = dataclasses.replace(options, **{f"{name}_port": port for name, port in ports.items()})  # type: ignore[arg-type]
    folders = ServerFolders(run / "models", run / "backends", toolchain.cache_folder)
    argv = server_argv(options, toolchain.tritonserver, folders)
    argv.append(f"--backend-config=python,shm-region-prefix-name={run.name}-")
    with (run / "log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=toolchain.environment(),
            cwd=run,
            start_new_session=True,  # Ctrl-C reaches us alone: we drain it
        )
    server = Server(process, options, run / "log")
    _wait_until_live(server)
    return server


def stop_server(server: Server) -> None:
    """Let the server finish its requests, then end it."""
    if server.process.poll() is not None:
        return
    os.kill(server.pid, signal.SIGTERM)
    try:
        server.process.wait(timeout=server.options.exit_timeout_secs + 5)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.process.wait()


def _wait_until_live(server: Server) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while not server.control.is_live():
        if server.process.poll() is not None:
            raise ServerError(f"tritonserver ended with status {server.process.returncode} at its start")
        if time.monotonic() > deadline_s:
            raise ServerError(f"tritonserver did not answer within {START_LIMIT_S:g} s of its start")
        time.sleep(0.02)


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
