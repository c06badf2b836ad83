"""A running server under load, watched and explained."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.backends.client.base import InferRequest, Tensor, connect
from tritonsmith.backends.running.explain import explain
from tritonsmith.backends.running.observe import Observation, observe
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live

WriteModel = Callable[..., Path]
SLOW = """
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.02)  # however many requests there are
        inputs = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in inputs]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("running") / "r"
    fixed = "\ninstance_group { count: %d kind: KIND_CPU }"
    write_model(root, "alone", SLOW, config=fixed % 1)
    write_model(root, "batching", SLOW, config="dynamic_batching {}" + fixed % 1)
    write_model(root, "idle", SLOW, config="dynamic_batching {}" + fixed % 3)
    for config in root.glob("*/config.pbtxt"):
        config.write_text(config.read_text().replace("dims: -1", "dims: 4"))
    with embedded_server(root, ServerOptions(disable_auto_complete_config=True)) as running:
        yield running


@contextmanager
def load(server: Server, model: str, clients: int) -> Iterator[None]:
    """Keep as many requests in flight as there are clients."""
    stop = threading.Event()
    request = InferRequest(model, [Tensor("x", "FP32", np.zeros((1, 4), np.float32))])

    def ask() -> None:
        with connect(server.grpc_url) as client:
            while not stop.is_set():
                client.infer(request)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def watched(server: Server, model: str, clients: int) -> tuple[Observation, dict[str, str]]:
    with load(server, model, clients), connect(server.grpc_url) as client:
        seen = observe(client, 1.5, [model])
    return seen, {finding.code: finding.message for finding in explain(seen)}


def test_a_model_without_a_batcher_is_found_under_load(server: Server) -> None:
    seen, told = watched(server, "alone", 4)
    assert "1.00 requests in a batch" in told["TS961"]
    assert told["TS961"].endswith("it has no batcher")
    assert "its 1 instance is busy" in told["TS962"]
    assert 0.85 < seen.models["alone"].busy_instances <= 1.05
    assert 3 < seen.models["alone"].in_flight < 5


def test_a_model_that_batches_is_not_scolded(server: Server) -> None:
    seen, told = watched(server, "batching", 8)
    assert "TS961" not in told
    assert seen.models["batching"].rows_per_execution > 2


def test_idle_instances_are_found(server: Server) -> None:
    seen, told = watched(server, "idle", 1)
    assert "of 3 instances were computing on average" in told["TS963"]
    assert seen.models["idle"].busy_instances < 1.05


def test_a_model_that_is_not_ready_is_refused_by_name(server: Server) -> None:
    with connect(server.grpc_url) as client, pytest.raises(ServerError, match="Did you mean 'alone'"):
        observe(client, 0.1, ["alon"])


def test_check_explains_a_server_at_a_url(server: Server) -> None:
    command = [sys.executable, "-m", "tritonsmith.generator", "check", "--url", server.grpc_url, "--model", "alone"]
    with load(server, "alone", 4):
        text = subprocess.run([*command, "--window", "1"], capture_output=True, text=True, timeout=60)
        data = subprocess.run([*command, "--window", "1", "--json"], capture_output=True, text=True, timeout=60)
    assert text.returncode == 0, text.stderr
    assert "warning[TS961]" in text.stdout
    assert "it has no batcher" in text.stdout
    document = json.loads(data.stdout)
    assert document["models"][0]["instances"] == 1
    assert {finding["code"] for finding in document["findings"]} >= {"TS961", "TS962"}
