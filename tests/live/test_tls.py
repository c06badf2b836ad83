"""gRPC over TLS, on the real server, with certificates made here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from tritonsmith.backends.server import embedded
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live

WriteModel = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a repository in `r`, a certificate and its key in `tls`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    (tmp_path / "tls").mkdir()
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-keyout", str(tmp_path / "tls" / "key.pem"), "-out", str(tmp_path / "tls" / "cert.pem")]
    subprocess.run(argv, check=True, capture_output=True)
    write_model(tmp_path / "r", "m")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_live(channel: Any) -> bool:
    with channel:
        live: bool = GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=10).live
    return live


@pytest.mark.parametrize("is_mutual", [False, True])
def test_relative_paths_count_from_the_current_folder_and_grpc_speaks_tls(is_mutual: bool, folder: Path) -> None:
    cert, key = (folder / "tls" / name for name in ("cert.pem", "key.pem"))
    tls = {"cert": "tls/cert.pem", "key": "tls/key.pem"} | ({"root": "tls/cert.pem"} if is_mutual else {})
    own = {"private_key": key.read_bytes(), "certificate_chain": cert.read_bytes()} if is_mutual else {}
    with embedded_server(Path("r"), ServerOptions(tls=tls, disable_auto_complete_config=True)) as server:
        assert is_live(grpc.secure_channel(server.grpc_url, grpc.ssl_channel_credentials(cert.read_bytes(), **own)))
        with pytest.raises(grpc.RpcError):
            is_live(grpc.insecure_channel(server.grpc_url))
        if is_mutual:
            with pytest.raises(grpc.RpcError):
                is_live(grpc.secure_channel(server.grpc_url, grpc.ssl_channel_credentials(cert.read_bytes())))


def test_tls_that_the_server_cannot_use_is_not_taken_for_a_port_in_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Any] = []
    launch = embedded._launch

    def counted(*args: Any) -> Server:
        starts.append(args)
        return launch(*args)

    monkeypatch.setattr(embedded, "_launch", counted)
    behind_our_back = ("--grpc-use-ssl=true", "--grpc-server-cert=/nowhere", "--grpc-server-key=/nowhere")
    with (
        pytest.raises(ServerError, match="already in use"),
        embedded_server(Path("r"), ServerOptions(extra_args=behind_our_back)),
    ):
        pass
    assert len(starts) == 1
