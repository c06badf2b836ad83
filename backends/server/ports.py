"""Free ports, and a clear word where a port is taken."""

from __future__ import annotations

import dataclasses
import errno
import random
import socket

from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions

# Below the range from which Linux takes ports for outgoing connections (32768 on), so that nobody's
# connection takes one between our test and the server's start.
FREE_RANGE = range(20000, 32768)


def with_ports(options: ServerOptions) -> ServerOptions:
    """Return the options with a free port in place of each 0, and those asked for tested.

    Raises: ServerError naming a port that is in use.
    """
    ports = choose_ports(options.host, wanted_ports(options))
    return dataclasses.replace(
        options, http_port=ports["http"], grpc_port=ports["grpc"], metrics_port=ports.get("metrics", 0)
    )


def wanted_ports(options: ServerOptions) -> dict[str, int]:
    """Return the ports that the options ask for, by endpoint; 0 for a free one."""
    wanted = {"http": options.http_port, "grpc": options.grpc_port}
    return wanted | ({"metrics": options.metrics_port} if options.allow_metrics else {})


def taken_ports(options: ServerOptions) -> list[int]:
    """Return those of a server's ports on which somebody listens."""
    return [port for port in wanted_ports(options).values() if port and not is_free(options.host, port)]


def choose_ports(host: str, wanted: dict[str, int]) -> dict[str, int]:
    """Return the ports by name: those asked for, tested, and a free one for each 0.

    Raises: ServerError naming a port that is in use, or a host that is not this machine's.
    """
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        if port and port in chosen.values():
            raise ServerError(f"port {port} is asked for twice", hint=f"choose another --{name}-port, or 0")
        if port and not is_free(host, port):
            raise ServerError(
                f"the {name} port {port} is in use on {host}",
                hint=f"stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another "
                f"--{name}-port; 0 takes a free one",
            )
        chosen[name] = port or _free_port(host, taken={*chosen.values(), *wanted.values()})
    return chosen


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on this port.

    Raises: ServerError where the host is no address of this machine, or the port is not for this user.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as problem:
        raise _bad_host(host, problem) from problem
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT is no hindrance
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                return False
            if problem.errno == errno.EACCES:
                raise ServerError(
                    f"you may not listen on port {port}", hint="take one from 1024 on, or 0 for a free one"
                ) from problem
            raise _bad_host(host, problem) from problem
    return True


def _free_port(host: str, taken: set[int]) -> int:
    for port in random.sample(FREE_RANGE, 500):
        if port not in taken and is_free(host, port):
            return port
    raise ServerError(f"found no free port on {host}", hint="name ports with --http-port, --grpc-port, --metrics-port")


def _bad_host(host: str, problem: OSError) -> ServerError:
    return ServerError(
        f"cannot listen on {host}: {problem.strerror or problem}",
        hint="use 127.0.0.1 for this machine alone, 0.0.0.0 for every interface",
    )
