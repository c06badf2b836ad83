"""The embedded server: started on a private view of a repository, loaded model by model, ended without a trace."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.control import Control, ModelState
from tritonsmith.backends.server import log
from tritonsmith.backends.server.adapt import Host, fit_to_host, without_newer_fields
from tritonsmith.backends.server.certificates import with_certificates
from tritonsmith.backends.server.leftovers import has_stubs, run_folder
from tritonsmith.backends.server.loading import LoadSite, failure, load_models
from tritonsmith.backends.server.needs import with_needs
from tritonsmith.backends.server.ports import taken_ports, wanted_ports, with_ports
from tritonsmith.backends.server.prepare import Prepared, prepare
from tritonsmith.backends.server.served import Served, read_served
from tritonsmith.backends.server.view import make_backends, make_view
from tritonsmith.backends.toolchain import machine
from tritonsmith.backends.toolchain.find import SERVER_RELEASE, Toolchain, find_toolchain
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerFolders, ServerOptions, server_argv

LOAD_WIDTH = 4  # tritonserver's own --model-load-thread-count
START_LIMIT_S = 30.0
EMBEDDED_ID = "tritonsmith"  # by which who asks a server knows that what this machine lacks is left out on it
UNLOAD_LIMIT_S = 15.0  # for finalize() of Python models, once no request is in flight


@dataclass
class Server:
    """A running embedded server. URLs are "host:port"; `notices` says what was changed for this machine.

    `failed` holds the models that did not load, with the reason; only with `is_partial` is it ever filled.
    """

    process: subprocess.Popen[bytes]
    options: ServerOptions
    log: Path
    prepared: Prepared
    notices: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    _overridden: set[str] = field(default_factory=set)

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
        """Load a model, or load it again with `config` (a whole ModelConfig as JSON) in place of its own.

        What this machine lacks is replaced in `config` too, and added to `notices`. Without `config` the model's own
        configuration holds again: an override otherwise sticks until the model is unloaded.
        """
        override = self.prepared.overrides.get(name)
        if config is not None:
            override = self._fitted(name, config)
            self._overridden.add(name)
        elif name in self._overridden:
            override = override or self.prepared.configs.get(name)
            self._overridden.discard(name)
        body = None if override is None else json_format.MessageToDict(override, preserving_proto_field_name=True)
        self.control.load(name, body, timeout_s=self.options.load_limit_s)

    def unload(self, name: str) -> None:
        """Unload a model; returns before its last instance has ended."""
        self.control.unload(name)
        self._overridden.discard(name)

    def states(self) -> list[ModelState]:
        """Return the state of every model."""
        return self.control.index()

    def wait(self) -> None:
        """Wait until the server ends by itself, which it should not.

        Raises: ServerError saying how it ended.
        """
        status = self.process.wait()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        reasons = "\n  ".join(log.last_errors(log.read_since(self.log, 0)))
        raise ServerError(self.prepared.in_users_words(f"tritonserver {how}\n  {reasons}".rstrip()))

    def _fitted(self, name: str, config: Mapping[str, Any]) -> ModelConfig:
        older, left_out = without_newer_fields(json_format.ParseDict(dict(config), ModelConfig()), SERVER_RELEASE)
        fitted, changes = fit_to_host(older, self.prepared.host)
        for line in [f"{name}: {change}" for change in [*(f"{path} left out" for path in left_out), *changes]]:
            if line not in self.notices:
                self.notices.append(line)
        return fitted


@contextmanager
def embedded_server(
    repository: Path,
    options: ServerOptions | None = None,
    *,
    is_partial: bool = False,
    toolchain: Toolchain | None = None,
) -> Iterator[Server]:
    """Serve a model repository while the block runs; afterwards nothing of the server is left, whatever happened.

    Without `options` those of the spec that built the repository hold. With `is_partial` models that do not load are
    left in `failed`.

    Raises: ToolMissingError; RepositoryError where there is no repository; ServerError where the server does not
    start, or a model does not load.
    """
    toolchain, served = toolchain or find_toolchain(), read_served(repository)
    options = with_certificates(options or served.options)
    with ExitStack() as stack:
        prepared, run = _assemble(stack, repository, toolchain, served)
        options, additions = with_needs(options, prepared.configs)
        server = start_server(toolchain, options, prepared, run)
        # a server that still loads, or that was told to stop for too long, does not listen to anything else
        stack.callback(_kill, server.process)
        server.notices = [*prepared.notices, *additions]
        for line in server.notices:
            console.say(f"note: {line}")
        width = options.model_load_thread_count or LOAD_WIDTH
        site = LoadSite(server.process, server.log, server.load, options.load_limit_s, width)
        server.failed = load_models(prepared, site)
        if server.failed and not is_partial:
            raise failure(server.failed, prepared)
        try:
            yield server
        finally:
            drain_server(server)


def start_server(toolchain: Toolchain, options: ServerOptions, prepared: Prepared, run: Path) -> Server:
    """Start tritonserver without models on the view and wait until it answers.

    Free ports are chosen anew, up to three times, where somebody took one between our test and the start.
    """
    attempts_left = 3 if 0 in wanted_ports(options).values() else 1
    while True:
        attempts_left -= 1
        server = _launch(toolchain, options, prepared, run)
        try:
            _wait_until_live(server)
        except BaseException as problem:
            _kill(server.process)
            if attempts_left and isinstance(problem, ServerError) and taken_ports(server.options):
                continue
            raise
        return server


def drain_server(server: Server) -> None:
    """Let the server finish its requests and unload its models, within limits; then it may be killed.

    An open gRPC stream can hold the exit for all of --exit-timeout-secs, so that the wait after the last request has
    a limit of its own. A load that failed, of a model in an ensemble, leaves the server a model that it waits for to
    the end: once the last Python process has gone and nothing moves, there is nothing left to wait for.
    """
    if server.process.poll() is not None:
        return
    offset = server.log.stat().st_size
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + server.options.exit_timeout_secs + 5.0
    is_idle = False
    with console.progress("stopping the server") as bar:
        while time.monotonic() < deadline_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(timeout=0.1)
                return
            bar.update()
            text = log.read_since(server.log, offset)
            if not is_idle and log.has_stopped_models(text):
                is_idle = True
                deadline_s = min(deadline_s, time.monotonic() + UNLOAD_LIMIT_S)
            if is_idle and log.is_unloading_stuck(text) and not has_stubs(server.prepared.view.parent):
                return


def _assemble(stack: ExitStack, repository: Path, toolchain: Toolchain, served: Served) -> tuple[Prepared, Path]:
    """Make the run's folder, the view and the backend directory in it, and plan the loading."""
    machine.require_executable(Path(gettempdir()))
    try:
        run = stack.enter_context(run_folder())
        names = make_view(repository, run / "models")
        backends = frozenset(make_backends(toolchain, run / "backends"))
    except OSError as problem:
        raise ServerError(
            f"cannot make the server's private view: {problem}",
            hint=f"{gettempdir()} needs some space ($TMPDIR names another), and the repository must be readable",
        ) from problem
    host = Host(machine.gpu_count(), backends, SERVER_RELEASE, stand_ins=backends - {"python"})
    return prepare(repository, run / "models", names, host, served.calls), run


def _launch(toolchain: Toolchain, options: ServerOptions, prepared: Prepared, run: Path) -> Server:
    options = dataclasses.replace(with_ports(options), model_control_mode="explicit", exit_on_error=False)
    folders = ServerFolders(prepared.view, run / "backends", toolchain.cache_folder)
    argv = server_argv(options, toolchain.tritonserver, folders)
    argv.append(f"--backend-config=python,shm-region-prefix-name={run.name}-")  # so that leftovers can be told
    argv.append(f"--id={EMBEDDED_ID}/gpus={machine.gpu_count()}")
    log_file = options.log_file or run / "log"
    try:
        with log_file.open("wb") as sink:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=toolchain.environment(),
                cwd=run,
                start_new_session=True,  # Ctrl-C reaches us alone: we drain it
            )
    except OSError as problem:
        raise ServerError(f"cannot start tritonserver: {problem}") from problem
    return Server(process, options, log_file, prepared)


def _wait_until_live(server: Server) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while not server.control.is_live():
        if server.process.poll() is not None:
            reasons = log.last_errors(log.read_since(server.log, 0)) or log.read_since(server.log, 0).splitlines()[-4:]
            raise ServerError(
                f"tritonserver ended with status {server.process.returncode} at its start:\n  " + "\n  ".join(reasons)
            )
        if time.monotonic() > deadline_s:
            raise ServerError(f"tritonserver did not answer within {START_LIMIT_S:g} s of its start")
        time.sleep(0.02)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
