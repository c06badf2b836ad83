"""Disaggregated serving on the real server: context and generation are Python models with TensorRT-LLM's tensors."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.spec.settings import Server as ServerSettings

pytestmark = pytest.mark.live

# One reads a prompt and leaves its sum as the cache, the other goes on from there; both look at request_type.
STAND_IN = """
import json
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.is_context = args["model_name"] == "context"

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            try:
                self.answer(request, sender)
            except Exception as problem:
                sender.send(pb.InferenceResponse(error=pb.TritonError(repr(problem))))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def answer(self, request, sender):
        kind = json.loads(request.parameters())["request_type"]
        assert kind == ("context_only" if self.is_context else "generation_only"), kind
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        assert tensors["input_lengths"].shape == (1,), tensors["input_lengths"].shape  # a scalar, as configured
        if self.is_context:
            total = int(tensors["input_ids"].sum())
            assert total < 256, total
            self.send(sender, context_phase_params=np.array([[total]], np.uint8))
        else:
            start = int(tensors["context_phase_params"][0, 0])
            for step in range(int(tensors["request_output_len"][0])):
                length = np.ones((1, 1), np.int32)
                self.send(sender, output_ids=np.array([[[start + step]]], np.int32), sequence_length=length)

    def send(self, sender, **arrays):
        sender.send(pb.InferenceResponse([pb.Tensor(name, array) for name, array in arrays.items()]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("apart")
    shutil.copytree(BLUEPRINT.folder / "demo", folder / "demo")
    pipeline = {
        "use": "text_generation",
        "engine": {"place": "mounted", "at": "/engines/llama"},
        "with": {"tokenizer": "demo", "disaggregated": {}},
    }
    server = ServerSettings(orchestrator="participants").model_dump(exclude_defaults=True)
    spec = {"triton": "24.12", "server": server, "pipelines": {"chat": pipeline}}
    (folder / "tritonsmith.yaml").write_text(yaml.safe_dump(spec))
    build_repository(folder / "tritonsmith.yaml", folder / "repository")
    for name in ("context", "generation"):
        config = folder / "repository" / name / "config.pbtxt"
        config.write_text(config.read_text().replace('"tensorrtllm"', '"python"'))
        (config.parent / "1" / "model.py").write_text(STAND_IN)
    with embedded_server(folder / "repository") as found:
        yield found
        found.process.kill()  # how servers end is told by test_server.py


def post(server: Server, **inputs: Any) -> list[dict[str, Any]]:
    body = json.dumps(
        {"input_ids": [1, 2, 3], "input_lengths": 3, "request_output_len": 4, "streaming": True, **inputs}
    )
    url = f"http://{server.http_url}/v2/models/disaggregated_serving_bls/generate_stream"
    with urllib.request.urlopen(urllib.request.Request(url, body.encode()), timeout=30) as response:
        events = response.read().decode().split("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in events if event]


def test_a_request_goes_through_both_and_streams(server: Server) -> None:
    assert [event["output_ids"] for event in post(server)] == [6, 7, 8, 9]


def test_the_text_comes_through_the_whole_ensemble(server: Server) -> None:
    body = json.dumps({"text_input": "a", "max_tokens": 3, "stream": True}).encode()
    url = f"http://{server.http_url}/v2/models/chat/generate_stream"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as response:
        assert response.read().decode().count("text_output") == 3


def test_one_bad_request_says_why_and_the_next_is_served(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as problem:
        post(server, input_ids=[200, 100], input_lengths=2)
    assert "context: AssertionError(300)" in problem.value.read().decode()
    assert len(post(server)) == 4
