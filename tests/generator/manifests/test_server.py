from __future__ import annotations

import math
from pathlib import Path

import pytest

from tritonsmith.backends.commands import serve
from tritonsmith.generator.cli import guarded
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.server import ServerFolders, ServerOptions, inside_container, server_argv


def argv(**options: object) -> list[str]:
    return server_argv(ServerOptions(**options), "tritonserver", ServerFolders("/models"))  # type: ignore[arg-type]


def test_the_defaults_listen_on_this_machine_alone() -> None:
    assert argv(http_port=1, grpc_port=2, metrics_port=3) == [
        "tritonserver",
        "--model-repository=/models",
        "--http-address=127.0.0.1",
        "--http-port=1",
        "--grpc-address=127.0.0.1",
        "--grpc-port=2",
        "--metrics-address=127.0.0.1",
        "--metrics-port=3",
        "--exit-timeout-secs=30",
    ]


def test_folders_become_arguments() -> None:
    words = server_argv(ServerOptions(), Path("/x/tritonserver"), ServerFolders("/m", Path("/b"), Path("/c")))
    assert words[0] == "/x/tritonserver"
    assert {"--backend-directory=/b", "--cache-directory=/c"} <= set(words)


def test_the_short_form_of_the_cache_is_the_local_cache() -> None:
    assert "--cache-config=local,size=1048576" in argv(response_cache_byte_size=1048576)
    both = argv(response_cache_byte_size=7, cache_config={"redis": {"host": "h", "port": "1"}})
    assert [word for word in both if "cache-config" in word] == [
        "--cache-config=redis,host=h",
        "--cache-config=redis,port=1",
        "--cache-config=local,size=7",
    ]


def test_the_rate_limiter_takes_resources_for_all_devices_or_each() -> None:
    words = argv(rate_limit="execution_count", rate_limit_resources={"R1": 4, "R2": {"0": 1, "1": 2}})
    assert [word for word in words if "rate-limit" in word] == [
        "--rate-limit=execution_count",
        "--rate-limit-resource=R1:4",
        "--rate-limit-resource=R2:1:0",
        "--rate-limit-resource=R2:2:1",
    ]
    assert not any("rate-limit" in word for word in argv())
    assert "--rate-limit=off" in argv(rate_limit="off")


def test_settings_with_and_without_an_owner() -> None:
    words = argv(
        backend_config={"": {"default-max-batch-size": "1"}, "python": {"shm-default-byte-size": "8388608"}},
        trace_config={"": {"level": "TIMESTAMPS"}, "triton": {"file": "/t"}},
        metrics_config={"summary_latencies": "true"},
    )
    assert {
        "--backend-config=default-max-batch-size=1",
        "--backend-config=python,shm-default-byte-size=8388608",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=triton,file=/t",
        "--metrics-config=summary_latencies=true",
    } <= set(words)


def test_everything_else_stands_where_it_was_asked_for() -> None:
    words = argv(
        model_control_mode="poll",
        exit_on_error=False,
        disable_auto_complete_config=True,
        log_verbose=2,
        model_load_thread_count=8,
        allow_metrics=False,
        tls={"cert": "/c.pem", "key": "/k.pem"},
        extra_args=("--id=mine",),
    )
    assert {
        "--model-control-mode=poll",
        "--exit-on-error=false",
        "--disable-auto-complete-config",
        "--log-verbose=2",
        "--model-load-thread-count=8",
        "--allow-metrics=false",
        "--grpc-use-ssl=true",
        "--grpc-server-cert=/c.pem",
        "--grpc-server-key=/k.pem",
    } <= set(words)
    assert not any("metrics-port" in word for word in words)
    assert words[-1] == "--id=mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", 99999),
        ("grpc_port", -1),
        ("metrics_port", 65536),
        ("load_limit_s", -3.0),
        ("load_limit_s", 0.0),
        ("load_limit_s", math.nan),
        ("load_limit_s", math.inf),
        ("exit_timeout_secs", -1),
        ("model_load_thread_count", 0),
    ],
)
def test_a_value_out_of_range_is_refused_wherever_it_comes_from(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"^server option {name}: {value} is out of range"):
        argv(**{name: value})


@pytest.mark.parametrize("words", ["--http-port 99999", "--grpc-port -1", "--metrics-port 65536", "--load-limit -3"])
def test_serve_refuses_a_value_out_of_range_as_wrong_usage(words: str, tmp_path: Path) -> None:
    assert guarded(lambda: serve.main([str(tmp_path), *words.split()], standalone_mode=False)) == 2


def test_in_a_container_every_address_and_model_is_served_on_the_containers_ports() -> None:
    options = ServerOptions(http_port=1, grpc_port=2, metrics_port=3, model_control_mode="explicit")
    argv = server_argv(inside_container(options), "tritonserver", ServerFolders("/models"))
    assert {"--http-address=0.0.0.0", "--http-port=8000", "--grpc-port=8001", "--metrics-port=8002"} <= set(argv)
    assert "--load-model=*" in argv


def test_a_grpc_connections_age_is_told_only_where_it_is_limited() -> None:
    told = server_argv(ServerOptions(grpc_connection_age_ms=5000), "tritonserver", ServerFolders("/models"))
    assert "--grpc-max-connection-age=5000" in told
    assert not any("age" in word for word in server_argv(ServerOptions(), "tritonserver", ServerFolders("/models")))
