from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tritonsmith.backends.commands import serve
from tritonsmith.backends.server.container import Outfit, docker_argv, image_of, run_container
from tritonsmith.generator.errors import RepositoryError, ServerError, ToolMissingError, UsageError
from tritonsmith.generator.manifests.launch import Launch
from tritonsmith.generator.manifests.server import ServerOptions

OPTIONS = ServerOptions(http_port=8000, grpc_port=8001, metrics_port=8002)

FAKE_DOCKER = """#!/bin/sh
echo "$@" >> {log}
case "$1" in
run) sleep 60 & echo $! > {pid}; wait $!; exit 0 ;;
stop) kill $(cat {pid}) ;;
esac
"""


def test_the_repository_is_mounted_read_only_and_published_on_this_machine_alone(tmp_path: Path) -> None:
    argv = docker_argv(tmp_path, OPTIONS, "image", Outfit("n", gpus=0))
    assert f"--volume={tmp_path}:/models:ro" in argv
    assert [word for word in argv if word.startswith("--publish")] == [
        "--publish=127.0.0.1:8000:8000",
        "--publish=127.0.0.1:8001:8001",
        "--publish=127.0.0.1:8002:8002",
    ]
    assert "--gpus=all" not in argv
    assert argv[argv.index("image") + 1 :][:2] == ["tritonserver", "--model-repository=/models"]
    assert "--http-address=0.0.0.0" in argv
    assert "--shm-size=1024m" in argv


def test_gpus_are_given_where_there_are_any(tmp_path: Path) -> None:
    assert "--gpus=all" in docker_argv(tmp_path, OPTIONS, "image", Outfit("n", gpus=1))


def test_other_ports_are_published_on_tritons_own(tmp_path: Path) -> None:
    options = ServerOptions(host="0.0.0.0", http_port=9000, grpc_port=9001, allow_metrics=False)
    argv = docker_argv(tmp_path, options, "image", Outfit("n", gpus=0))
    assert [word for word in argv if word.startswith("--publish")] == [
        "--publish=0.0.0.0:9000:8000",
        "--publish=0.0.0.0:9001:8001",
    ]


def test_big_files_that_lie_elsewhere_are_mounted_too(tmp_path: Path) -> None:
    (tmp_path / "r" / "m" / "1").mkdir(parents=True)
    (tmp_path / "big").touch()
    (tmp_path / "r" / "m" / "1" / "model.onnx").symlink_to(tmp_path / "big")
    (tmp_path / "r" / "m" / "inside").symlink_to("1/model.onnx")
    argv = docker_argv(tmp_path / "r", OPTIONS, "image", Outfit("n", gpus=0))
    assert [word for word in argv if word.startswith("--volume")] == [
        f"--volume={tmp_path / 'r'}:/models:ro",
        f"--volume={tmp_path / 'big'}:{tmp_path / 'big'}:ro",
    ]


def test_in_explicit_mode_every_model_is_loaded_at_the_start(tmp_path: Path) -> None:
    explicit = ServerOptions(model_control_mode="explicit")
    assert "--load-model=*" in docker_argv(tmp_path, explicit, "image", Outfit("n", gpus=0))
    assert "--load-model=*" not in docker_argv(tmp_path, OPTIONS, "image", Outfit("n", gpus=0))


def test_ranks_are_started_by_mpirun_with_what_all_of_them_need(tmp_path: Path) -> None:
    launch = Launch("participants", 3, ("context", "generation"), gpus=(0, 1))
    argv = docker_argv(tmp_path, OPTIONS, "image", Outfit("n", 2, launch, [Path("/engines/llama")], 3072))
    before, after = argv[: argv.index("image")], argv[argv.index("image") + 1 :]
    assert {"--env=TRTLLM_ORCHESTRATOR=1", "--env=TRTLLM_ORCHESTRATOR_SPAWN_PROCESSES=0"} <= set(before)
    assert "--volume=/engines/llama:/engines/llama:ro" in before
    assert "--shm-size=3072m" in before
    assert after[0] == "mpirun"
    assert after.count("tritonserver") == 3
    assert after.count("--load-model=generation") == 2


def test_certificates_are_mounted_where_they_lie(tmp_path: Path) -> None:
    options = ServerOptions(tls={"cert": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")})
    argv = docker_argv(tmp_path, options, "image", Outfit("n", gpus=0))
    assert f"--volume={tmp_path}/c.pem:{tmp_path}/c.pem:ro" in argv
    assert f"--grpc-server-cert={tmp_path}/c.pem" in argv


def test_a_folder_without_models_is_refused_before_docker_is_asked(tmp_path: Path) -> None:
    argv = [str(tmp_path), "--container", "--dry-run", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    with pytest.raises(RepositoryError, match="holds no model"):
        serve.main(argv, standalone_mode=False)


def test_a_release_names_its_image() -> None:
    assert image_of("24.10") == "nvcr.io/nvidia/tritonserver:24.10-py3"
    with pytest.raises(UsageError, match=r"no Triton release '24.13'"):
        image_of("24.13")


def test_no_image_with_tensorrt_llm_is_named_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match=r"no container of Triton 26\.08 with") as refusal:
        image_of("26.08", has_tensorrt_llm=True)
    assert "--triton 26.07" in refusal.value.hint


def test_without_docker_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="docker is not installed"):
        run_container(["docker"], name="n", stop_limit_s=1)


def test_a_container_that_ends_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit $1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ServerError, match="ended with status 3"):
        run_container(["docker", "3"], name="n", stop_limit_s=1)
    with pytest.raises(ToolMissingError, match="could not start"):
        run_container(["docker", "125"], name="n", stop_limit_s=1)


def test_ctrl_c_stops_the_container(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text(FAKE_DOCKER.format(log=tmp_path / "log", pid=tmp_path / "pid"))
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "r" / "m").mkdir(parents=True)
    argv = [sys.executable, "-m", "tritonsmith.generator", "serve", str(tmp_path / "r"), "--container"]
    argv += ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as serve:
        deadline_s = time.monotonic() + 20.0
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        time.sleep(0.1)
        serve.send_signal(signal.SIGINT)
        assert serve.wait(timeout=20) == 130
    assert (tmp_path / "log").read_text().splitlines()[-1] == "stop --time=30 tritonsmith-r"
