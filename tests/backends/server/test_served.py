from __future__ import annotations

import json
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.server.served import Served, read_served
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.manifests.server import ServerFolders, options_of, server_argv
from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.generator.repository.write import write_repository
from tritonsmith.generator.spec.settings import Server


def test_without_a_lock_the_defaults_hold(tmp_path: Path) -> None:
    assert read_served(tmp_path) == read_served(tmp_path / "nosuch") == Served()
    assert Served().with_options({}).http_port == 8000
    assert Served().options.http_port == 0


def test_the_spec_names_the_server_and_the_command_line_wins(tmp_path: Path) -> None:
    server = {"http_port": 9000, "log_verbose": 1}
    settings = {"triton": "25.03", "server": server, "calls": {"a": ["b"]}}
    (tmp_path / "tritonsmith.lock").write_text(json.dumps({"settings": settings}))
    served = read_served(tmp_path)
    assert (served.release, served.calls) == ("25.03", {"a": ("b",)})
    options = served.with_options({"grpc_port": 9001, "host": None})
    assert (options.http_port, options.grpc_port, options.metrics_port) == (9000, 9001, 8002)
    assert (served.options.http_port, served.options.log_verbose) == (0, 1)


def test_every_key_of_the_specs_server_becomes_an_argument() -> None:
    server = Server.model_validate(
        {
            "strict_model_config": True,
            "exit_timeout_s": 5,
            "load_threads": 2,
            "log_verbose": 3,
            "response_cache": {"size_bytes": 1024},
            "rate_limit": {"resources": {"R1": 4, "R2@0": 1, "R2@1": 2}},
            "metrics": {"interval_ms": 500, "config": {"summary_latencies": "true"}},
            "tracing": {"level": ["TIMESTAMPS", "TENSORS"], "rate": 7, "config": {"file": "/t"}},
            "tls": {"certificate": "/c", "key": "/k", "root": "/r"},
            "backend_config": {"python": {"shm-default-byte-size": "1048576"}},
        }
    )
    words = server_argv(options_of(server), "tritonserver", ServerFolders("/m"))
    assert {
        "--http-port=8000",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=5",
        "--model-load-thread-count=2",
        "--log-verbose=3",
        "--cache-config=local,size=1024",
        "--rate-limit=execution_count",
        "--rate-limit-resource=R1:4",
        "--rate-limit-resource=R2:1:0",
        "--rate-limit-resource=R2:2:1",
        "--metrics-interval-ms=500",
        "--metrics-config=summary_latencies=true",
        "--trace-config=mode=triton",
        "--trace-config=rate=7",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=level=TENSORS",
        "--trace-config=triton,file=/t",
        "--grpc-use-ssl-mutual=true",
        "--grpc-server-cert=/c",
        "--grpc-server-key=/k",
        "--grpc-root-cert=/r",
        "--backend-config=python,shm-default-byte-size=1048576",
        "--model-control-mode=explicit",
    } <= set(words)


def test_a_private_server_has_no_tls() -> None:
    server = Server.model_validate({"tls": {"certificate": "/c", "key": "/k"}})
    assert Served(server=server).options.tls == {}


@pytest.mark.parametrize("text", ["[", "[]", '{"settings": {"server": {"prot": 1}}}', '{"settings": {"calls": 3}}'])
def test_a_lock_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "tritonsmith.lock").write_text(text)
    with pytest.raises(RepositoryError, match="cannot be read"):
        read_served(tmp_path)


def test_what_build_writes_is_what_serve_reads(tmp_path: Path) -> None:
    settings = {"triton": "25.03", "server": {"log_verbose": 2}, "calls": {"a": ["b"]}}
    model = Model("a", ModelConfig(backend="python"), {"1/model.py": Content(b"")})
    write_repository(tmp_path / "models", Repository("r", {"a": model}, settings=settings))
    served = read_served(tmp_path / "models")
    assert (served.release, served.options.log_verbose, served.calls) == ("25.03", 2, {"a": ("b",)})
