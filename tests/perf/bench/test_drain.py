"""The bench's own parts: the numbers it reads, and a proxy that forwards as what it stands for."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tritonsmith.perf.bench.drain import generated_numbers
from tritonsmith.perf.bench.drain_proxy import Pod, running_proxy
from tritonsmith.perf.bench.drain_traffic import write_model


@contextmanager
def pod() -> Iterator[Pod]:
    """Serve HTTP that answers with the port on which it was asked."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = str(self.connection.getsockname()[1]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Pod(server.server_port, 0)
        server.shutdown()


def ask(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/")
    return int(connection.getresponse().read())


def test_a_kept_connection_stays_with_a_pod_that_left_but_a_gateway_goes_to_another() -> None:
    with pod() as first, pod() as second, running_proxy() as proxy:
        proxy.add(first)
        kept, gateway = (http.client.HTTPConnection(proxy.url(port), timeout=10) for port in ("http", "gateway"))
        assert ask(kept) == ask(gateway) == first.http
        proxy.add(second)
        proxy.remove(first, 0)
        new = http.client.HTTPConnection(proxy.url("http"), timeout=10)
        while ask(new) != second.http:  # until the proxy has done it
            new.close()
        assert ask(kept) == first.http
        assert ask(gateway) == second.http
        for connection in (kept, gateway, new):
            connection.close()


@pytest.mark.parametrize("pre_stop_s", [1, 15, 300])
def test_a_grpc_connection_made_before_the_news_ends_before_sigterm(tmp_path: Path, pre_stop_s: int) -> None:
    write_model(tmp_path)
    numbers = generated_numbers(tmp_path, {"pre_stop_s": pre_stop_s}, {})
    assert numbers.grpc_connection_age_ms is not None
    # gRPC ends a connection at its age, give or take a tenth
    assert numbers.news_s + 1.1 * numbers.grpc_connection_age_ms / 1000 < numbers.pre_stop_s
    assert numbers.grace_s > numbers.pre_stop_s + numbers.exit_timeout_s
