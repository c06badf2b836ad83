"""The embedded server: what it loads, what it changes for this machine, what it says when a model fails."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format

from tritonsmith.backends.client.base import InferRequest, Tensor, connect
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.toolchain import machine
from tritonsmith.generator.errors import RepositoryError, ServerError
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live

WriteModel = Callable[..., Path]
FAST = ServerOptions(disable_auto_complete_config=True)  # one Python process less for each load

ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: -1 }
output { name: "z" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling {
  max_inflight_requests: 4
  step { model_name: "zz_step" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "m" } }
  step { model_name: "gpu" model_version: -1 input_map { key: "x" value: "m" } output_map { key: "y" value: "z" } }
}
"""


RAISES = """
class TritonPythonModel:
    def initialize(self, args):
        raise ValueError("no weights")
"""
RAISES_IF_TOLD = """
import json


class TritonPythonModel:
    def initialize(self, args):
        if json.loads(args["model_config"])["parameters"]:
            raise ValueError("unknown parameter")
"""
SLEEPS = """
import time


class TritonPythonModel:
    def initialize(self, args):
        time.sleep(600)
"""
BOMB = """
import os
import signal
import time


class TritonPythonModel:
    def initialize(self, args):
        os.kill(os.getppid(), signal.SIGKILL)  # as the kernel does when memory runs out
        time.sleep(5)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    """A repository that needs everything: a GPU, a cache, a rate limiter, a newer server, an order of loading."""
    root = tmp_path_factory.mktemp("live") / "repository"
    write_model(root, "gpu", config="instance_group { kind: KIND_GPU count: 2 gpus: [0] }")
    write_model(root, "zz_step", config="response_cache { enable: true }")
    limiter = 'instance_group { kind: KIND_CPU rate_limiter { resources { name: "R1" count: 3 } } }'
    write_model(root, "limited", config=limiter)
    (root / "chain" / "1").mkdir(parents=True)
    (root / "chain" / "1" / ".keep").touch()
    (root / "chain" / "config.pbtxt").write_text(ENSEMBLE)
    (root / "gpu" / "1" / "__pycache__").mkdir()
    return root


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    with embedded_server(repository, FAST) as running:
        yield running


def double(server: Server, model: str, output: str = "y") -> list[float]:
    tensor = Tensor("x", "FP32", np.array([[1.0, 2.5]], dtype=np.float32))
    with connect(server.grpc_url) as client:
        values: list[float] = client.infer(InferRequest(model, [tensor])).outputs[output].array.ravel().tolist()
    return values


def test_every_model_is_ready_and_an_ensemble_comes_after_its_steps(server: Server) -> None:
    assert {state.name: state.state for state in server.states()} == dict.fromkeys(
        ["chain", "gpu", "limited", "zz_step"], "READY"
    )
    assert double(server, "chain", "z") == [4.0, 10.0]


def test_what_the_machine_or_the_server_lacks_is_changed_and_said(server: Server) -> None:
    if machine.gpu_count():
        pytest.skip("this machine has a GPU")
    assert "gpu: instance_group[0] KIND_GPU gpus [0] -> KIND_CPU (no GPU here)" in server.notices
    assert any("max_inflight_requests left out (newer than the server" in line for line in server.notices)
    groups = server.control.config("gpu")["instance_group"]
    assert [(group["kind"], group["count"]) for group in groups] == [("KIND_CPU", 2)]


def test_what_models_need_of_the_server_is_added_and_said(server: Server) -> None:
    assert any("response cache of 64 MiB was opened for zz_step" in line for line in server.notices)
    assert any("rate limiter was switched on for limited" in line for line in server.notices)
    assert double(server, "limited") == double(server, "zz_step") == double(server, "zz_step") == [2.0, 5.0]
    statistics = server.control.statistics("zz_step")["model_stats"][0]["inference_stats"]
    assert int(statistics["cache_hit"]["count"]) >= 1


def test_the_users_repository_is_not_written_to(server: Server, repository: Path) -> None:
    double(server, "gpu")
    files = sorted(str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file())
    assert files == sorted(
        ["chain/1/.keep", "chain/config.pbtxt"]
        + [f"{name}/{file}" for name in ("gpu", "limited", "zz_step") for file in ("1/model.py", "config.pbtxt")]
    )
    assert "max_inflight_requests" in (repository / "chain" / "config.pbtxt").read_text()


def test_an_instance_count_changes_without_a_reload_and_is_undone_by_a_plain_load(server: Server) -> None:
    config = server.control.config("zz_step")  # what a sweep starts from is the configuration as written
    config = {"name": "zz_step", "backend": "python", "max_batch_size": 8, "input": config["input"]}
    config |= {"output": server.control.config("zz_step")["output"], "response_cache": {"enable": True}}
    server.load("zz_step", {**config, "instance_group": [{"kind": "KIND_GPU", "count": 3}]})
    assert server.control.config("zz_step")["instance_group"][0]["count"] == 3
    server.load("zz_step")
    assert server.control.config("zz_step")["instance_group"][0]["count"] == 1
    assert double(server, "zz_step") == [2.0, 5.0]


def test_a_reload_through_an_ensemble_keeps_what_was_overridden(server: Server) -> None:
    if machine.gpu_count():
        pytest.skip("this machine has a GPU")
    offset = server.log.stat().st_size
    server.load("chain")
    assert server.control.config("gpu")["instance_group"][0]["kind"] == "KIND_CPU"
    assert "loading: gpu" not in server.log.read_text()[offset:]  # nothing was started anew


def test_two_servers_run_side_by_side(server: Server, tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path / "r", "other")
    with embedded_server(tmp_path / "r", FAST) as second:
        assert double(second, "other") == double(server, "gpu")
        assert second.http_url != server.http_url


def test_nothing_is_left_after_the_block(
    tmp_path: Path, write_model: WriteModel, traces: Callable[[str], list[str]]
) -> None:
    write_model(tmp_path / "r", "m")
    with embedded_server(tmp_path / "r", FAST) as server:
        run = server.log.parent.name
        assert len(traces(run)) >= 5  # the server, its stub, the watcher, shared memory, two folders
    assert traces(run) == []


@pytest.mark.slow
def test_a_load_that_failed_does_not_hold_the_exit(tmp_path: Path, write_model: WriteModel) -> None:
    for name in ("zz_step", "gpu"):
        write_model(tmp_path, name, RAISES_IF_TOLD)
    (tmp_path / "chain" / "1").mkdir(parents=True)
    (tmp_path / "chain" / "1" / ".keep").touch()
    (tmp_path / "chain" / "config.pbtxt").write_text(ENSEMBLE)
    with embedded_server(tmp_path, FAST) as server:
        written = server.prepared.configs["gpu"]
        assert written is not None
        config = json_format.MessageToDict(written, preserving_proto_field_name=True)
        with pytest.raises(ServerError, match="unknown parameter"):
            server.load("gpu", {**config, "parameters": {"heigth": {"string_value": "8"}}})
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 13.0  # the server waits 15 s, at least, for a model that it has lost


# What fails, and what is said about it ---------------------------------------------------------------------------


def failing(root: Path, options: ServerOptions = FAST) -> str:
    with pytest.raises(ServerError) as caught, embedded_server(root, options):
        pass
    return str(caught.value)


def test_every_model_that_fails_is_named_with_tritons_own_reason(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "typo", config="foo: 3")
    write_model(tmp_path, "misnamed", config='name: "other"')
    write_model(tmp_path, "broken", "def execute(:\n")
    write_model(tmp_path, "raises", RAISES)
    write_model(tmp_path, "nofile", None)
    write_model(tmp_path, "good")
    plan = tmp_path / "plan"
    (plan / "1").mkdir(parents=True)
    (plan / "config.pbtxt").write_text('platform: "tensorrt_plan"\n')
    message = failing(tmp_path)
    assert "6 of 7 models did not load" in message
    assert 'typo: config.pbtxt:4:4: Message type "inference.ModelConfig" has no field named "foo".' in message
    assert "misnamed: unexpected directory name 'misnamed' for model 'other'" in message
    assert "broken: SyntaxError: invalid syntax (model.py, line 1)" in message
    assert "raises: ValueError: no weights" in message
    assert f"{tmp_path}/raises/1/model.py" in message  # the user's path, not the view's
    assert "nofile: 1/model.py is not there" in message
    assert "plan: needs the backend 'tensorrt'" in message
    assert "serve --container" in message
    assert "good" not in message


def test_with_is_partial_the_rest_is_served(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "good")
    write_model(tmp_path, "nofile", None)
    with embedded_server(tmp_path, FAST, is_partial=True) as server:
        assert double(server, "good") == [2.0, 5.0]
        assert list(server.failed) == ["nofile"]


def test_a_load_that_hangs_is_killed_at_its_limit(
    tmp_path: Path, write_model: WriteModel, traces: Callable[[str], list[str]]
) -> None:
    write_model(tmp_path / "r", "sleeper", SLEEPS)
    log = tmp_path / "log"
    began_s = time.monotonic()
    message = failing(tmp_path / "r", ServerOptions(load_limit_s=2.0, log_file=log, disable_auto_complete_config=True))
    assert time.monotonic() - began_s < 20.0
    assert "model 'sleeper' did not load within 2 s: its initialize() has not returned" in message
    assert "--load-limit" in message
    run = log.read_text().partition("/tmp/tritonsmith-run-")[2][:8]
    assert traces(f"tritonsmith-run-{run}") == []


def test_a_server_that_crashes_during_a_load_is_reported_with_the_model(
    tmp_path: Path, write_model: WriteModel
) -> None:
    write_model(tmp_path, "bomb", BOMB)
    assert "tritonserver was ended by signal 9 while it loaded model 'bomb'" in failing(tmp_path)


def test_a_port_in_use_is_named_before_the_server_starts(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "m")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = failing(tmp_path, ServerOptions(grpc_port=port))
    assert f"the grpc port {port} is in use on 127.0.0.1" in message
    assert "--grpc-port" in message


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="holds no model"), embedded_server(tmp_path):
        pass


def test_models_called_by_others_are_loaded_first(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "a_caller")
    write_model(tmp_path, "called")
    server = {"log_verbose": 1, "tracing": {"config": {"file": str(tmp_path / "trace.json")}}, "rate_limit": {}}
    settings = {"calls": {"a_caller": ["called"]}, "server": server}
    (tmp_path / "tritonsmith.lock").write_text(json.dumps({"format": 1, "settings": settings}))
    with embedded_server(tmp_path) as running:
        loads: list[Any] = [line for line in running.log.read_text().splitlines() if '"loading: ' in line]
        assert ["called:1" in line for line in loads] == [True, False]
        assert running.options.log_verbose == 1
