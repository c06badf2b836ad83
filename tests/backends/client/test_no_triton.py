"""Servers that are no Triton, or do not answer: one line that says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc  # type: ignore[import-untyped]
import pytest

from tritonsmith.backends.client.base import InferRequest, WireProtocol, connect
from tritonsmith.backends.client.control import START, Control, http_error
from tritonsmith.generator.errors import ServerError

PAGE = b"<!DOCTYPE html>\n<html>\n  <title>Welcome!</title>\n" + b"<p>long</p>\n" * 100


class Website(BaseHTTPRequestHandler):
    """Answers a POST as static servers do, and anything else with a page."""

    def do_GET(self) -> None:
        self.answer(200)

    def do_POST(self) -> None:
        self.answer(405)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def website() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Website) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("status", [200, 405])
def test_a_website_is_no_triton_and_its_page_is_cut_to_one_line(status: int, website: str) -> None:
    control = Control(website)
    with pytest.raises(ServerError) as caught:
        control.metadata("m") if status == 200 else control.index()
    message = caught.value.message
    assert message.startswith(f"no Triton answers at {website}: {website} answered /v2/")
    assert f"with status {status} and '<!DOCTYPE html> <html> <title>Welcome!</title>" in message
    assert len(message) < 250
    assert "\n" not in message
    assert caught.value.hint == START


def test_another_grpc_server_is_no_triton() -> None:
    with ThreadPoolExecutor() as threads:
        server = grpc.server(threads)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with connect(f"127.0.0.1:{port}") as client, pytest.raises(ServerError, match="no Triton answers over gRPC"):
            client.index()
        server.stop(None).wait()


def test_tritons_own_words_are_kept() -> None:
    assert http_error("h:1", "/v2", 400, b'{"error":"unknown model"}').message == "unknown model"
    assert http_error("h:1", "/v2", 404, b"").message == "h:1 answered /v2 with status 404"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_does_not_answer_in_time_is_said(protocol: WireProtocol) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServerError, match=r"did not answer /v2 within 0\.2 s") as caught:
            Control(url, timeout_s=0.2).server_metadata()
        assert isinstance(caught.value.__cause__, TimeoutError)
        with connect(url, protocol) as client, pytest.raises(ServerError, match=r"did not answer within 0\.2 s"):
            client.infer(InferRequest("m", []), timeout_s=0.2)


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"\0\0\x18\x04\0\0\0\0\0\0\x04\0@\0\0\0\x05\0@\0\0", "{url} speaks HTTP/2 alone, as a gRPC port does"),
        (
            b"SSH-2.0-OpenSSH\x1b[31m\r\n",
            r"no Triton answers at {url}: it speaks no HTTP, but said 'SSH-2.0-OpenSSH\x1b[31m",
        ),
    ],
)
def test_what_is_no_http_is_named_and_none_of_its_bytes_reach_the_terminal(greeting: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"127.0.0.1:{listening.getsockname()[1]}"

        def greet() -> None:
            for _ in range(2):
                peer, _ = listening.accept()
                with peer:
                    peer.recv(1 << 16)
                    peer.sendall(greeting)

        greeter = threading.Thread(target=greet, daemon=True)
        greeter.start()
        with connect(url, "http") as client:
            for call in (lambda: client.metadata("m"), lambda: client.infer(InferRequest("m", []))):
                with pytest.raises(ServerError) as caught:
                    call()
                assert caught.value.message.startswith(said.format(url=url))
                assert caught.value.message.isprintable()
        greeter.join()
