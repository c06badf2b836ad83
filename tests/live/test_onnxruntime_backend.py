"""`backend: "onnxruntime"` on the real server: what its configuration promises holds for every request."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator.manifests.server import ServerOptions

pytestmark = [pytest.mark.live, pytest.mark.slow]

Array = NDArray[Any]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
ONE = "instance_group [{kind: KIND_CPU count: 1}]\n"
BATCHED = f'backend: "onnxruntime" max_batch_size: 8 dynamic_batching {{max_queue_delay_microseconds: 300000}} {ONE}'
VALUES: dict[int, Array] = {
    TensorProto.BOOL: np.array([[True, False]]),
    **{
        helper.np_dtype_to_tensor_dtype(np.dtype(name)): np.array([[1, np.iinfo(name).max]], name)
        for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
    },
    **{
        helper.np_dtype_to_tensor_dtype(np.dtype(name)): np.array([[1.5, -np.inf]], name)
        for name in ("float16", "float32", "float64")
    },
    TensorProto.BFLOAT16: np.array([[1.5, -np.inf]], ml_dtypes.bfloat16),
}
CONFIGS = {
    "types": f'backend: "onnxruntime"\n{ONE}',
    "strings": f'backend: "onnxruntime"\n{ONE}',
    "square": f'backend: "onnxruntime"\n{ONE}',
    "batched": BATCHED,
    "picky": BATCHED,
    "optional": f"""backend: "onnxruntime" {ONE}
        input [{{name: "x" data_type: TYPE_FP32 dims: [2]}}]
        input [{{name: "b" data_type: TYPE_FP32 dims: [2] optional: true}}]
        output [{{name: "y" data_type: TYPE_FP32 dims: [2]}}]""",
    "reshaped": f"""backend: "onnxruntime" max_batch_size: 4 {ONE}
        input [{{name: "x" data_type: TYPE_FP32 dims: [4] reshape {{shape: [2, 2]}}}}]
        output [{{name: "y" data_type: TYPE_FP32 dims: [4, 1] reshape {{shape: [2, 2]}}}}]""",
    "scalars": f"""backend: "onnxruntime" max_batch_size: 4 {ONE}
        input [{{name: "x" data_type: TYPE_FP32 dims: [1] reshape {{shape: []}}}}]
        output [{{name: "y" data_type: TYPE_FP32 dims: [1] reshape {{shape: []}}}}]""",
    "versions": f'backend: "onnxruntime" default_model_filename: "net.onnx" version_policy {{all {{}}}} {ONE}',
    "external": f'backend: "onnxruntime"\n{ONE}',
    "ragged": f"""{BATCHED}
        input [{{name: "x" data_type: TYPE_FP32 dims: [-1] allow_ragged_batch: true}}]
        output [{{name: "y" data_type: TYPE_FP32 dims: [1]}}]
        batch_input [{{kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_INT32
                       source_input: "x"}}]""",
    "tuned": f"""backend: "onnxruntime" {ONE}
        optimization {{graph {{level: 1}} execution_accelerators {{cpu_execution_accelerator [{{name: "openvino"}}]}}}}
        parameters {{key: "intra_op_thread_count" value {{string_value: "2"}}}}
        parameters {{key: "execution_mode" value {{string_value: "1"}}}}""",
    "wrong_type": f"""backend: "onnxruntime" {ONE} input [{{name: "x" data_type: TYPE_INT32 dims: [2]}}]
        output [{{name: "y" data_type: TYPE_FP32 dims: [2]}}]""",
    "cannot_batch": f'backend: "onnxruntime" max_batch_size: 8 {ONE}',
    "wrong_mode": f"""backend: "onnxruntime" {ONE}
        parameters {{key: "execution_mode" value {{string_value: "7"}}}}""",
    "decoupled": f'backend: "onnxruntime" model_transaction_policy {{decoupled: true}} {ONE}',
    "slow": f'backend: "onnxruntime"\n{ONE}',
}  # fmt: skip


def save(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Mapping[str, tuple[int, Sequence[Any]]],
    constants: Mapping[str, Array] | None = None,
    path: str = "1/model.onnx",
    **options: Any,
) -> None:
    """Write a model; a tensor is (ONNX type, shape)."""
    values = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    ins = [helper.make_tensor_value_info(name, *tensor) for name, tensor in inputs.items()]
    outs = [helper.make_tensor_value_info(name, *tensor) for name, tensor in outputs.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ins, outs, initializer=values),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / path, **options)


def save_simple(folder: Path, operator: str, *shape: Any, path: str = "1/model.onnx", **options: Any) -> None:
    """y = operator(x, x)."""
    node = helper.make_node(operator, ["x", "x"], ["y"])
    save(folder, [node], {"x": (FLOAT, shape)}, {"y": (FLOAT, shape)}, path=path, **options)


def save_slow(folder: Path, steps: int) -> None:
    """y = x through `steps` multiplications with a big matrix."""
    nodes = [helper.make_node("MatMul", [f"h{step}" if step else "x", "w"], [f"h{step + 1}"]) for step in range(steps)]
    nodes[-1].output[0] = "y"
    weights = {"w": np.eye(1024, dtype=np.float32)}
    save(folder, nodes, {"x": (FLOAT, [1024, 1024])}, {"y": (FLOAT, [1024, 1024])}, weights)


def make_repository(root: Path) -> None:
    types = list(VALUES)
    save(
        root / "types",
        [helper.make_node("Identity", [f"x{t}"], [f"y{t}"]) for t in types],
        {f"x{t}": (t, ["n", 2]) for t in types},
        {f"y{t}": (t, ["n", 2]) for t in types},
    )
    strings = (TensorProto.STRING, ["n", 2])
    save(root / "strings", [helper.make_node("Identity", ["x"], ["y"])], {"x": strings}, {"y": strings})
    save_simple(root / "square", "Mul", "n", 3)
    save_simple(root / "batched", "Mul", "n", "k")
    pick = helper.make_node("GatherElements", ["w", "x"], ["y"], axis=1)
    rows = helper.make_node("Expand", ["one", "shape"], ["w"])
    shape = helper.make_node("Concat", ["n", "three"], ["shape"], axis=0)
    count = helper.make_node("Shape", ["x"], ["n"], start=0, end=1)
    save(
        root / "picky",
        [count, shape, rows, pick, helper.make_node("Identity", ["x"], ["same"])],
        {"x": (INT64, ["n", 1])},
        {"y": (FLOAT, ["n", 1]), "same": (INT64, ["n", 1])},
        {"one": np.array([[5, 6, 7]], np.float32), "three": np.array([3])},
    )
    save(
        root / "optional",
        [helper.make_node("Add", ["x", "b"], ["y"])],
        {"x": (FLOAT, [2]), "b": (FLOAT, [2])},
        {"y": (FLOAT, [2])},
        {"b": np.array([10, 20], np.float32)},
    )
    turn = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])
    save(root / "reshaped", [turn], {"x": (FLOAT, ["n", 2, 2])}, {"y": (FLOAT, ["n", 2, 2])})
    save_simple(root / "scalars", "Add", "n")
    save_simple(root / "versions", "Add", 2, path="1/net.onnx")
    save_simple(root / "versions", "Mul", 2, path="7/net.onnx")
    save(
        root / "external",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        {"x": (FLOAT, [2048])},
        {"y": (FLOAT, [2048])},
        {"w": np.arange(2048, dtype=np.float32)},
        path="1/model.onnx/model.onnx",
        save_as_external_data=True,
        location="weights.bin",
    )
    save(
        root / "ragged",
        [
            helper.make_node("CumSum", ["x", "axis"], ["sums"]),
            helper.make_node("Sub", ["ends", "one"], ["last"]),
            helper.make_node("Gather", ["sums", "last"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "column"], ["y"]),
        ],
        {"x": (FLOAT, ["n"]), "ends": (TensorProto.INT32, ["b"])},
        {"y": (FLOAT, ["b", 1])},
        {"axis": np.array(0), "one": np.array(1, np.int32), "column": np.array([1])},
    )
    for name in ("tuned", "decoupled", "wrong_type", "cannot_batch", "wrong_mode"):
        save_simple(root / name, "Mul", 2)
    save_slow(root / "slow", 40)
    for name, config in CONFIGS.items():
        (root / name / "config.pbtxt").write_text(config)
    save_simple(root / "bare", "Mul", "n", 3)  # without any configuration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root: Path = tmp_path_factory.mktemp("onnxruntime")
    make_repository(root)
    options = ServerOptions(backend_config={"onnxruntime": {"default-max-batch-size": "6"}})
    with embedded_server(root, options, is_partial=True) as server:
        yield server
        server.process.kill()  # how servers end is told by test_server.py


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with grpc.InferenceServerClient(server.grpc_url) as client:
        yield client


def ask(client: Any, model: str, *wanted: str, version: str = "", **inputs: Any) -> dict[str, Array]:
    """The wanted outputs; "y" where none is named."""
    tensors = []
    for name, array in inputs.items():
        tensors.append(grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        tensors[-1].set_data_from_numpy(array)
    outputs = [grpc.InferRequestedOutput(name) for name in wanted or ("y",)]
    answer = client.infer(model, tensors, version, outputs=outputs)
    return {output.name(): answer.as_numpy(output.name()) for output in outputs}


def floats(*values: Any) -> Array:
    return np.array(values, np.float32)


def executions(server: Server, model: str) -> tuple[int, int]:
    (stats,) = server.control.statistics(model)["model_stats"]
    return int(stats["inference_count"]), int(stats["execution_count"])


def test_every_type_comes_back_as_it_went(client: Any) -> None:
    names = [f"y{number}" for number in VALUES]
    given: dict[str, Any] = {f"x{number}": value for number, value in VALUES.items()}
    answer = ask(client, "types", *names, **given)
    for number, value in VALUES.items():
        assert answer[f"y{number}"].tobytes() == value.tobytes()


def test_strings_come_back_as_they_went(client: Any) -> None:
    given = np.array([["a", "\0é"], ["", "b'c'"]], object)
    assert [[item.decode() for item in row] for row in ask(client, "strings", x=given)["y"]] == given.tolist()


def test_a_string_that_is_not_utf8_is_refused_by_name(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="input 'x' holds a string that is not UTF-8"):
        ask(client, "strings", x=np.array([[b"\xff", b""]], object))


@pytest.mark.parametrize("model", ["square", "bare"])
def test_what_the_configuration_lacks_is_read_from_the_graph(server: Server, model: str) -> None:
    config = server.control.config(model)
    assert config["max_batch_size"] == 6  # the server's default-max-batch-size
    assert config["dynamic_batching"]["preferred_batch_size"] == [6]
    assert [(t["name"], t["data_type"], t["dims"]) for t in config["input"]] == [("x", "TYPE_FP32", [3])]
    assert [(t["name"], t["data_type"], t["dims"]) for t in config["output"]] == [("y", "TYPE_FP32", [3])]


def test_requests_of_one_shape_run_together_and_each_gets_its_own_rows(server: Server, client: Any) -> None:
    before = executions(server, "batched")
    with ThreadPoolExecutor(4) as pool:
        given = [np.full((1 + k % 2, 3), k, np.float32) for k in range(4)]
        answers = list(pool.map(lambda x: ask(client, "batched", x=x)["y"], given))
    assert all(np.array_equal(answer, x * x) for answer, x in zip(answers, given, strict=True))
    after = executions(server, "batched")
    assert after[0] - before[0] == 6
    assert after[1] - before[1] < 4


def test_requests_of_several_shapes_at_once_get_what_each_gets_alone(client: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        given = [np.full((1, 2 + k % 3), k, np.float32) for k in range(6)]
        answers = list(pool.map(lambda x: ask(client, "batched", x=x)["y"], given))
    assert all(np.array_equal(answer, x * x) for answer, x in zip(answers, given, strict=True))


def test_a_request_that_fails_fails_alone(server: Server, client: Any) -> None:
    def pick(index: int) -> float | str:
        try:
            return float(ask(client, "picky", x=np.array([[index]]))["y"][0, 0])
        except InferenceServerException as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(pick, [0, 99, 1, 2]))
    assert [answers[0], *answers[2:]] == [5, 6, 7]
    assert "GatherElements" in str(answers[1])


def test_only_requested_outputs_are_computed(client: Any) -> None:
    assert ask(client, "picky", "same", x=np.array([[99]]))["same"].tolist() == [[99]]


def test_an_optional_input_may_be_left_out(client: Any) -> None:
    assert ask(client, "optional", x=floats(1, 2))["y"].tolist() == [11, 22]
    assert ask(client, "optional", x=floats(1, 2), b=floats(0, 1))["y"].tolist() == [1, 3]


def test_inputs_and_outputs_are_reshaped(client: Any) -> None:
    assert ask(client, "reshaped", x=floats([1, 2, 3, 4]))["y"].tolist() == [[[1], [3], [2], [4]]]


def test_scalars_per_row_have_a_batch_axis_only_inside(client: Any) -> None:
    assert ask(client, "scalars", x=floats([1], [2]))["y"].tolist() == [[2], [4]]


def test_each_version_is_its_own_file(client: Any) -> None:
    assert ask(client, "versions", version="1", x=floats(3, 4))["y"].tolist() == [6, 8]
    assert ask(client, "versions", version="7", x=floats(3, 4))["y"].tolist() == [9, 16]


def test_a_folder_with_external_data_is_a_model(client: Any) -> None:
    ones = np.ones(2048, np.float32)
    assert np.array_equal(ask(client, "external", x=ones)["y"], np.arange(1, 2049))


def test_a_decoupled_model_answers_once_and_ends(client: Any) -> None:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    tensor = grpc.InferInput("x", [2], "FP32")
    tensor.set_data_from_numpy(floats(3, 4))
    client.start_stream(lambda result, error: answers.put(error or result))
    try:
        client.async_stream_infer("decoupled", [tensor], enable_empty_final_response=True)
        answer = answers.get(timeout=20)
    finally:
        client.stop_stream()
    assert answer.as_numpy("y").tolist() == [9, 16]
    assert answer.get_response().parameters["triton_final_response"].bool_param


def test_ragged_requests_run_together(server: Server, client: Any) -> None:
    before = executions(server, "ragged")
    with ThreadPoolExecutor(3) as pool:
        given = [np.full((1, length), 1, np.float32) for length in (2, 5, 3)]
        answers = list(pool.map(lambda x: ask(client, "ragged", x=x)["y"], given))
    after = executions(server, "ragged")
    assert after[1] - before[1] < 3
    # sums run over the whole batch, so they say which request stood where
    lengths = np.array([2, 5, 3])
    sums = np.array([float(answer[0, 0]) for answer in answers])
    order = np.argsort(sums)
    assert sums[order].tolist() == np.cumsum(lengths[order]).tolist()


def test_an_accelerator_that_is_not_here_is_left_out_and_said(server: Server, client: Any) -> None:
    assert ask(client, "tuned", x=floats(3, 4))["y"].tolist() == [9, 16]
    said = [*server.notices, server.log.read_text()]
    assert any("openvino" in text for text in said)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("wrong_type", "configuration expects datatype TYPE_INT32 for input 'x', model provides TYPE_FP32"),
        ("cannot_batch", "model does not support batching while non-zero max_batch_size is specified"),
        ("wrong_mode", "Expected values for  execution_mode are 0 or 1 but got 7"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_at_load(server: Server, model: str, reason: str) -> None:
    assert reason in server.failed[model]


def test_a_cancelled_request_is_not_run(server: Server, client: Any) -> None:
    def spent() -> tuple[int, float]:
        """Requests answered so far, and seconds spent on them in the model."""
        (stats,) = server.control.statistics("slow")["model_stats"]
        infer = stats["inference_stats"]["compute_infer"]
        return int(infer["count"]), int(infer["ns"]) / 1e9

    x = np.ones((1024, 1024), np.float32)
    ask(client, "slow", x=x)  # the first run tells how long one takes
    (count_before, spent_before_s), sent_s = spent(), time.monotonic()
    tensor = grpc.InferInput("x", [1024, 1024], "FP32")
    tensor.set_data_from_numpy(x)
    took_s: dict[int, float] = {}

    def answered(number: int, result: Any) -> None:
        took_s[number] = time.monotonic() - sent_s
        assert number == 1 or result is not None

    for number in range(2):
        call = client.async_infer("slow", [tensor], lambda result, error, number=number: answered(number, result))
        time.sleep(0.1)  # the first has begun before the second is sent
    call.cancel()
    while 0 not in took_s or spent()[0] < count_before + 2:  # Triton 2.51 counts the refused one too
        assert time.monotonic() < sent_s + 30
        time.sleep(0.05)
    assert spent()[1] - spent_before_s < 1.3 * took_s[0]  # two runs would be twice the first one's time
