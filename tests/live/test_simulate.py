"""The verb simulate, where a running server says how long its batches took."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator.cli import cli
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live

SLEEPING = """
import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.02)
        return [pb.InferenceResponse([pb.Tensor("y", r.inputs()[0].as_numpy())]) for r in requests]
"""


def test_times_are_read_from_a_running_server(
    write_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "models", "m", SLEEPING)
    with embedded_server(tmp_path / "models", ServerOptions(allow_metrics=False)) as server:
        words = ["simulate", "--url", server.http_url, "--concurrency", "1", "--json"]
        with pytest.raises(UsageError, match="no service times for m"):
            cli.main(words, standalone_mode=False)  # it has executed nothing yet
        for _ in range(3):
            infer = ["infer", "m", "--url", server.http_url, "--protocol", "http", "--input", "x=[1.0]"]
            cli.main(infer, standalone_mode=False)
        capsys.readouterr()
        cli.main(words, standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert 20_000 < found["points"][0]["p50_us"] < 60_000
    assert any("how much durations vary is not known" in note for note in found["notes"])
