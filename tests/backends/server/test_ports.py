from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tritonsmith.backends.server.ports import choose_ports, is_free, taken_ports, with_ports
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions


def test_zero_takes_distinct_free_ports() -> None:
    options = with_ports(ServerOptions())
    ports = [options.http_port, options.grpc_port, options.metrics_port]
    assert len(set(ports)) == 3
    assert all(is_free("127.0.0.1", port) for port in ports)


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(ServerError) as caught:
            choose_ports("127.0.0.1", {"http": port})
    assert caught.value.message == f"the http port {port} is in use on 127.0.0.1"
    assert "--http-port" in caught.value.hint
    assert is_free("127.0.0.1", port)


def test_one_port_for_two_endpoints_is_refused() -> None:
    port = choose_ports("127.0.0.1", {"http": 0})["http"]
    with pytest.raises(ServerError, match="asked for twice"):
        choose_ports("127.0.0.1", {"http": port, "grpc": port})


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(ServerError, match="cannot listen on"):
        choose_ports(host, {"http": 0})


def test_without_metrics_no_port_is_taken_for_them() -> None:
    assert with_ports(ServerOptions(allow_metrics=False)).metrics_port == 0


def test_only_ports_on_which_somebody_listens_are_taken() -> None:
    options = with_ports(ServerOptions())
    assert taken_ports(options) == []
    with socket.create_server(("127.0.0.1", options.grpc_port)):
        assert taken_ports(options) == [options.grpc_port]


def test_a_port_that_is_not_for_this_user_is_told_from_one_in_use() -> None:
    program = "from tritonsmith.backends.server.ports import is_free; is_free('127.0.0.1', 1)"
    if Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip() == "0":
        pytest.skip("here every port is for everybody")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv, which takes root's right to port 1 away, is not installed")
    argv = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", sys.executable, "-c"]
    done = subprocess.run([*argv, program], capture_output=True, text=True, check=False)
    assert "you may not listen on port 1\n" in done.stderr
