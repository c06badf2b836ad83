"""The front end beside a running server: a thread of `serve`, which ends with it however that ends."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from tritonsmith.backends.server.embedded import Server
from tritonsmith.backends.server.ports import choose_ports, wanted_ports
from tritonsmith.generator import console
from tritonsmith.generator.errors import RepositoryError, ServerError, ToolMissingError, UsageError
from tritonsmith.generator.manifests.server import ServerOptions

if TYPE_CHECKING:
    import uvicorn

START_LIMIT_S = 10.0


@dataclass(frozen=True)
class Listening:
    """A front end that answers; `url` is what clients call base_url."""

    url: str
    models: tuple[str, ...]


def require_front_end(options: ServerOptions, port: int) -> None:
    """Say before a server starts what would keep the front end from starting.

    Raises: ToolMissingError, UsageError, ServerError naming a port that is in use.
    """
    try:
        import starlette
        import tokenizers
        import uvicorn
    except ImportError as problem:
        raise ToolMissingError(
            f"--openai needs {problem.name}, which is not installed", hint="pip install 'tritonsmith[embedded]'"
        ) from None
    del starlette, tokenizers, uvicorn
    if options.tls:
        raise UsageError("--openai does not speak TLS, and server.tls asks for it", hint="put a proxy before both")
    fixed = {name: one for name, one in wanted_ports(options).items() if one}
    choose_ports(options.host, fixed | {"openai": port})


@contextmanager
def front_end(server: Server, port: int) -> Iterator[Listening]:
    """Answer OpenAI's API for every text pipeline of a server while the block runs.

    Raises: RepositoryError where there is no text pipeline; ServerError where the port cannot be had.
    """
    import uvicorn

    from tritonsmith.backends.openai.app import make_app
    from tritonsmith.backends.openai.pipelines import find_pipelines

    served = {name: config for name, config in server.prepared.configs.items() if name not in server.failed}
    pipelines, reasons = find_pipelines(served, server.prepared.view)
    for reason in reasons:
        console.say(f"note: not behind --openai: {server.prepared.in_users_words(reason)}")
    if not pipelines:
        raise RepositoryError(
            f"{server.prepared.repository} has no text pipeline for --openai",
            hint="one takes text_input and gives text_output: tritonsmith init text_generation writes one",
        )
    host = server.options.host
    with _bound(host, choose_ports(host, {"openai": port})["openai"]) as bound:
        config = uvicorn.Config(
            make_app(pipelines, server.grpc_url),
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,  # nobody's prompts, nobody's paths
            server_header=False,
            timeout_graceful_shutdown=server.options.exit_timeout_secs,
        )
        with _running(uvicorn.Server(config), bound, server.options.exit_timeout_secs):
            address = server.http_url.rpartition(":")[0]
            yield Listening(f"http://{address}:{bound.getsockname()[1]}/v1", tuple(one.name for one in pipelines))


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
        except OSError as problem:
            raise ServerError(f"cannot listen on {host}:{port}: {problem.strerror}", hint="--openai-port") from problem
        yield bound


@contextmanager
def _running(front: uvicorn.Server, bound: socket.socket, limit_s: float) -> Iterator[None]:
    """Run a front end in a thread; at the end requests in flight have `limit_s`, as Triton's own have."""
    thread = Thread(target=front.run, args=([bound],), name="openai", daemon=True)
    thread.start()
    try:
        deadline_s = time.monotonic() + START_LIMIT_S
        while not front.started:
            if not thread.is_alive() or time.monotonic() > deadline_s:
                raise ServerError("the OpenAI front end did not start", hint="see the lines above")
            time.sleep(0.01)
        yield
    finally:
        front.should_exit = True
        thread.join(limit_s + START_LIMIT_S)
