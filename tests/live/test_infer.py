"""`tritonsmith infer` and both clients against a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.client.base import InferRequest, Tensor, WireProtocol, connect
from tritonsmith.backends.client.tensors import Array, bf16_bits, bf16_values
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.cli import cli, guarded
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = pytest.mark.live

WriteModel = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]

ECHO = """
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            tensors = []
            for tensor in request.inputs():
                name = tensor.name().replace("in_", "out_")
                if tensor.name() == "in_BF16":  # numpy has no BF16
                    tensors.append(pb.Tensor.from_dlpack(name, tensor.to_dlpack()))
                else:
                    tensors.append(pb.Tensor(name, tensor.as_numpy()))
            responses.append(pb.InferenceResponse(tensors))
        return responses
"""
COUNTDOWN = """
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            count = int(pb.get_input_tensor_by_name(request, "count").as_numpy().reshape(-1)[0])
            if count < 0:
                error = pb.TritonError("cannot count down from below zero")
                sender.send(pb.InferenceResponse(error=error), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                continue
            for left in range(count, 0, -1):
                text = np.array([f"{left} to go"], dtype=object)
                sender.send(pb.InferenceResponse([pb.Tensor("text", text)]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
COUNTDOWN_CONFIG = """
backend: "python"
model_transaction_policy { decoupled: true }
input { name: "count" data_type: TYPE_INT32 dims: 1 }
output { name: "text" data_type: TYPE_STRING dims: 1 }
"""
PARAMETERS = """
import json

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb.InferenceResponse([pb.Tensor("y", np.array([[request.parameters().encode()]], dtype=object))])
            for request in requests
        ]
"""
SEQUENCE_CONFIG = """
backend: "python"
max_batch_size: 4
sequence_batching {
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } }
  control_input { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } }
}
input { name: "x" data_type: TYPE_INT64 dims: 1 }
output { name: "y" data_type: TYPE_INT64 dims: 3 }
"""
SEQUENCE = """
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            parts = [pb.get_input_tensor_by_name(request, name).as_numpy() for name in ("x", "START", "CORRID")]
            y = np.concatenate([part.reshape(1, 1).astype(np.int64) for part in parts], axis=1)
            responses.append(pb.InferenceResponse([pb.Tensor("y", y)]))
        return responses
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("infer")
    write_model(root, "doubling")
    versions = write_model(root, "versions", config="version_policy { all {} }")
    (versions / "1").rename(versions / "2")
    shutil.copytree(versions / "2", versions / "10")
    lines = ['backend: "python"']
    for wire, row in BY_WIRE.items():
        lines.append(f'input {{ name: "in_{wire}" data_type: {row.name} dims: -1 optional: true }}')
        lines.append(f'output {{ name: "out_{wire}" data_type: {row.name} dims: -1 }}')
    custom(root, "echo", "\n".join(lines), ECHO)
    custom(root, "countdown", COUNTDOWN_CONFIG, COUNTDOWN)
    custom(root, "sequence", SEQUENCE_CONFIG, SEQUENCE)
    text = 'input { name: "x" data_type: TYPE_STRING dims: 1 } output { name: "y" data_type: TYPE_STRING dims: 1 }'
    custom(root, "parameters", f'backend: "python"\nmax_batch_size: 2\n{text}', PARAMETERS)
    with embedded_server(root, ServerOptions(disable_auto_complete_config=True)) as running:
        yield running


def custom(root: Path, name: str, config: str, code: str) -> None:
    (root / name / "1").mkdir(parents=True)
    (root / name / "config.pbtxt").write_text(config)
    (root / name / "1" / "model.py").write_text(code)


def command(*argv: str) -> int:
    return guarded(lambda: cli.main(list(argv), prog_name="tritonsmith", standalone_mode=False))


@pytest.fixture
def run(server: Server, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `infer` in this process against the server: status, stdout, stderr."""

    def infer(*argv: str, protocol: str = "grpc") -> tuple[int, str, str]:
        url = server.grpc_url if protocol == "grpc" else server.http_url
        status = command("infer", *argv, "--url", url, "--protocol", protocol)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return infer


def sample(wire: str) -> Array:
    if wire == "BYTES":
        return np.array(["grüße".encode(), b"", b"\x00\xff"], dtype=object)
    if wire == "BOOL":
        return np.array([True, False, True])
    if wire == "BF16":
        return bf16_values(bf16_bits(np.array([1.0, -2.5, 3e38], dtype=np.float32)))
    kind = np.dtype(BY_WIRE[wire].numpy)
    limits: Any = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    return np.array([limits.min, 1, limits.max], dtype=kind)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_every_data_type_comes_back_as_it_was_sent(protocol: WireProtocol, server: Server) -> None:
    tensors = [Tensor(f"in_{wire}", wire, sample(wire)) for wire in BY_WIRE]
    with connect(server.grpc_url if protocol == "grpc" else server.http_url, protocol) as client:
        answer = client.infer(InferRequest("echo", tensors, id="7"))
        assert answer.id == "7"
        for wire in BY_WIRE:
            np.testing.assert_array_equal(answer.outputs[f"out_{wire}"].array, sample(wire), err_msg=wire)
            assert answer.outputs[f"out_{wire}"].datatype == wire


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_control_calls_agree_over_both_protocols(protocol: WireProtocol, server: Server) -> None:
    with connect(server.grpc_url if protocol == "grpc" else server.http_url, protocol) as client:
        assert client.is_live()
        assert client.metadata("doubling").inputs[0].shape == (-1, -1)
        assert client.config("doubling").max_batch_size == 8
        assert {state.name for state in client.index()} >= {"doubling", "echo"}
        assert client.statistics("doubling").model_stats[0].name == "doubling"
        client.unload("doubling")
        client.load("doubling")
        with pytest.raises(ServerError, match="nosuch"):
            client.metadata("nosuch")


def test_a_stream_ends_with_the_final_response(server: Server) -> None:
    request = InferRequest("countdown", [Tensor("count", "INT32", np.array([3], dtype=np.int32))])
    with connect(server.grpc_url) as client:
        texts = [r.outputs["text"].array[0] for r in client.stream([request]) if r.outputs]
    assert texts == [b"3 to go", b"2 to go", b"1 to go"]


def test_http_refuses_to_stream(server: Server) -> None:
    with connect(server.http_url, "http") as client, pytest.raises(UsageError, match="only over gRPC"):
        next(client.stream([]))


def test_a_server_that_is_not_there_is_said(run: Run) -> None:
    assert command("infer", "m", "--url", "127.0.0.1:1") == 6
    assert command("infer", "m", "--url", "127.0.0.1:1", "--protocol", "http") == 6
    _, _, said = run("doubling", "-i", "x=[1]")
    assert said.count("no Triton answers over gRPC at 127.0.0.1:1") == 1
    assert said.count("no Triton answers at 127.0.0.1:1") == 1


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_batch_dimension_is_added_and_repeated_inputs_are_rows(protocol: str, run: Run) -> None:
    assert run("doubling", "-i", "x=[1, 2.5]", protocol=protocol)[1] == "row  y FP32[2]\n0       [2, 5]\n"
    status, out, _ = run("doubling", "-i", "x=[1, 2]", "-i", "x=[3, 4]", "--json", protocol=protocol)
    assert status == 0
    assert json.loads(out)["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2, 4, 6, 8]}]


def test_a_decoupled_model_is_streamed_line_by_line(run: Run) -> None:
    assert run("countdown", "-i", "count=2")[1] == "text=2 to go\ntext=1 to go\n"
    lines = run("countdown", "-i", "count=2", "--json")[1].splitlines()
    assert [json.loads(line)["outputs"][0]["data"] for line in lines] == [["2 to go"], ["1 to go"]]
    status, _, said = run("countdown", "-i", "count=-1")
    assert (status, "cannot count down from below zero" in said) == (6, True)


def test_inputs_come_from_files_and_outputs_go_to_files(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1, 2], [3, 4]], dtype=np.float32))
    (tmp_path / "rows.json").write_text('[{"x": "@x.npy"}, {"x": [[9]]}]')
    rows = str(tmp_path / "rows.json")
    status, out, said = run("doubling", "--inputs", rows, "--json", "--save", str(tmp_path / "o"))
    assert status == 0, said
    assert [json.loads(line)["outputs"][0]["data"] for line in out.splitlines()] == [[2, 4, 6, 8], [18]]
    np.testing.assert_array_equal(np.load(tmp_path / "o" / "y.0.npy"), [[2, 4], [6, 8]])
    (tmp_path / "image.png").write_bytes(b"\x89PNG\x00")
    status, out, _ = run("echo", "-i", f"in_BYTES=@{tmp_path / 'image.png'}", "--json")
    assert json.loads(out)["outputs"][0]["data"] == [{"b64": "iVBORwA="}]


def test_request_parameters_reach_the_model(run: Run) -> None:
    _, out, said = run("parameters", "-i", "x=a", "-p", "beam=4", "-p", "name=b", "-p", "fast=true", "--json")
    assert json.loads(json.loads(out)["outputs"][0]["data"][0]) == {"beam": 4, "name": "b", "fast": True}, said


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_sequence_keeps_its_id_and_start(protocol: str, run: Run) -> None:
    assert run("sequence", "-i", "x=5", "--sequence-id", "42", "--sequence-start", protocol=protocol)[1].endswith(
        "[5, 1, 42]\n"
    )
    assert run("sequence", "-i", "x=6", "--sequence-id", "42", "--sequence-end", protocol=protocol)[1].endswith(
        "[6, 0, 42]\n"
    )


def test_wrong_names_and_shapes_name_the_right_ones(run: Run) -> None:
    status, _, said = run("doublin", "-i", "x=[1]")
    assert (status, "has no model 'doublin'. Did you mean 'doubling'?" in said) == (6, True)
    assert "countdown, doubling, echo" in said
    for protocol in ("grpc", "http"):
        status, _, said = run("versions", "--version", "9", "-i", "x=[1]", protocol=protocol)
        assert (status, "model 'versions' has no version 9 that is ready" in said, "ready: 2, 10" in said) == (
            6,
            True,
            True,
        )
    assert run("versions", "--version", "2", "-i", "x=[1]")[1].endswith("2\n")
    status, _, said = run("doubling", "-i", "z=[1]")
    assert (status, "has no input 'z'" in said, "x (FP32 [-1, -1])" in said) == (2, True, True)
    status, _, said = run("doubling")
    assert (status, "also needs x (FP32 [-1, -1])" in said) == (2, True)
    status, _, said = run("countdown", "-i", "count=[1, 2]")
    assert (status, "the value has shape [2]" in said, "expected [1]" in said) == (2, True, True)
    status, _, said = run("doubling", "-i", "x=[1]", "--output", "z")
    assert (status, "has no output 'z'" in said) == (2, True)


@pytest.mark.slow
def test_without_a_url_a_server_is_started_for_the_repository(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path / "model_repository", "m")
    argv = [sys.executable, "-m", "tritonsmith.generator", "infer", "m", "-i", "x=[3]"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "row  y FP32[1]\n0            6\n"), done.stderr
