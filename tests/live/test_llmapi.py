"""Target llmapi on the real server: over HTTP, streamed and whole, and as NVIDIA's own launcher starts it."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.text_generation.blueprint import BLUEPRINT
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live
QUESTION = "What is a model repository?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("llmapi")
    shutil.copytree(BLUEPRINT.folder / "demo", folder / "demo")
    pipeline = {"use": "text_generation", "engine": "demo", "with": {"target": "llmapi"}}
    spec = {"triton": "25.09", "pipelines": {"chat": pipeline}}
    (folder / "tritonsmith.yaml").write_text(yaml.safe_dump(spec))
    build_repository(folder / "tritonsmith.yaml", folder / "repository")
    options = ServerOptions(disable_auto_complete_config=True)  # NVIDIA's launcher does
    with embedded_server(folder / "repository", options) as found:
        yield found


def post(server: Server, verb: str, **inputs: Any) -> str:
    body = json.dumps({"text_input": QUESTION, "sampling_param_max_tokens": 40, **inputs}).encode()
    request = urllib.request.Request(f"http://{server.http_url}/v2/models/chat/{verb}", body)
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())


def test_streamed_text_is_the_text_at_once(server: Server) -> None:
    whole = json.loads(post(server, "generate"))["text_output"]
    events = post(server, "generate_stream", streaming=True).split("\n\n")
    pieces = [json.loads(event.removeprefix("data: "))["text_output"] for event in events if event]
    assert len(pieces) > 5  # not one: decoupled is in config.pbtxt, which alone is looked at
    assert "".join(pieces) == whole
    assert "model repository" in whole


def test_a_measure_is_a_number(server: Server) -> None:
    answer = json.loads(post(server, "generate", sampling_param_return_perf_metrics=True))
    assert isinstance(answer["kv_cache_alloc_total_blocks"], int)
    assert answer["last_token_time_ns"] >= answer["first_token_time_ns"] > answer["arrival_time_ns"]
