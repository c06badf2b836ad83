"""Stateful ONNX models on the real server: interleaved sequences give exactly what each gives alone."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpc
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from tritonsmith.backends.server.embedded import embedded_server

pytestmark = [pytest.mark.live, pytest.mark.slow]

FLOAT, INT32, UINT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT64
STATE = 'state [{input_name: "old" output_name: "new" data_type: TYPE_FP32 dims: [2] %s}]'
CONTROLS = """control_input [
    {name: "START" control [{kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1]}]},
    {name: "END" control [{kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1]}]},
    {name: "READY" control [{kind: CONTROL_SEQUENCE_READY int32_false_true: [0, 1]}]},
    {name: "CORRID" control [{kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64}]}]"""
HEAD = """backend: "onnxruntime" max_batch_size: %d
    input [{name: "x" data_type: TYPE_FP32 dims: [2]}] output [{name: "y" data_type: TYPE_FP32 dims: [2]}]
    instance_group [{kind: KIND_CPU count: 2}]
    sequence_batching {max_sequence_idle_microseconds: 1500000 %s}"""
FROM_FILE = 'initial_state {name: "start" data_type: TYPE_FP32 dims: [2] data_file: "start"}'
DIRECT = "direct {max_queue_delay_microseconds: 2000}"
CONFIGS = {
    "direct": HEAD % (8, f"{DIRECT} {CONTROLS} {STATE % ''}"),
    "direct_without_controls": HEAD % (8, f"{DIRECT} {STATE % FROM_FILE}"),
    "oldest": HEAD % (8, f"oldest {{max_candidate_sequences: 16 max_queue_delay_microseconds: 2000}} {STATE % ''}"),
    "unbatched": HEAD % (0, f"direct {{}} {STATE % ''}"),
}
INITIAL = {"direct_without_controls": (100.0, -100.0)}


def save(folder: Path, *, has_controls: bool, is_batching: bool) -> None:
    """new = 0.5 old + x; y = new, or new + START + 10 END + 100 READY + 0.001 CORRID."""
    lead = ["n"] if is_batching else []
    inputs = [helper.make_tensor_value_info(name, FLOAT, [*lead, 2]) for name in ("x", "old")]
    nodes = [helper.make_node("Mul", ["old", "half"], ["faded"]), helper.make_node("Add", ["faded", "x"], ["new"])]
    constants = {"half": 0.5}
    result = "new"
    for name, kind, weight in (
        ("START", INT32, 1.0), ("END", INT32, 10.0), ("READY", INT32, 100.0), ("CORRID", UINT64, 0.001),
    ) if has_controls else ():  # fmt: skip
        inputs.append(helper.make_tensor_value_info(name, kind, [*lead, 1]))
        constants[f"w{name}"] = weight
        nodes.append(helper.make_node("Cast", [name], [f"f{name}"], to=FLOAT))
        nodes.append(helper.make_node("Mul", [f"f{name}", f"w{name}"], [f"m{name}"]))
        nodes.append(helper.make_node("Add", [result, f"m{name}"], [f"r{name}"]))
        result = f"r{name}"
    nodes.append(helper.make_node("Identity", [result], ["y"]))
    outputs = [helper.make_tensor_value_info(name, FLOAT, [*lead, 2]) for name in ("y", "new")]
    values = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=values)
    (folder / "1").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "1" / "model.onnx")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    root: Path = tmp_path_factory.mktemp("sequences")
    for name, config in CONFIGS.items():
        save(root / name, has_controls=name == "direct", is_batching=name != "unbatched")
        (root / name / "config.pbtxt").write_text(config)
    folder = root / "direct_without_controls" / "initial_state"
    folder.mkdir()
    (folder / "start").write_bytes(np.array(INITIAL[folder.parent.name], np.float32).tobytes())
    with embedded_server(root) as server, grpc.InferenceServerClient(server.grpc_url) as client:
        yield client
        server.process.kill()  # how servers end is told by test_server.py


@dataclass(frozen=True)
class Sequence:
    """`values` [steps, 2]; `id` a number or a text; one that `vanishes` never sends END."""

    id: Any
    values: Any
    vanishes: bool = False

    def expected(self, model: str) -> list[list[float]]:
        """What it gives alone."""
        state = np.array(INITIAL.get(model, (0, 0)), np.float32)
        results = []
        for step, value in enumerate(self.values):
            state = np.float32(0.5) * state + value
            y = state
            if model == "direct":
                is_end = step == len(self.values) - 1 and not self.vanishes
                for term in (step == 0, 10 * is_end, 100, np.float32(0.001) * np.float32(self.id)):
                    y = y + np.float32(term)
            results.append([float(part) for part in y])
        return results


def make_sequences(count: int, base: int, *, is_text: bool = False) -> list[Sequence]:
    random_values = np.random.default_rng(count)
    return [
        Sequence(
            f"s{base + number}" if is_text else base + number,
            random_values.integers(-50, 50, (3 + number % 5, 2)).astype(np.float32),
            vanishes=number % 7 == 3,
        )
        for number in range(count)
    ]


def ask(client: Any, model: str, sequence: Sequence, step: int) -> list[float]:
    value = sequence.values[step][None] if model != "unbatched" else sequence.values[step]
    tensor = grpc.InferInput("x", list(value.shape), "FP32")
    tensor.set_data_from_numpy(value)
    answer = client.infer(
        model,
        [tensor],
        sequence_id=sequence.id,
        sequence_start=step == 0,
        sequence_end=step == len(sequence.values) - 1 and not sequence.vanishes,
    )
    return [float(part) for part in answer.as_numpy("y").ravel()]


def run(client: Any, model: str, sequence: Sequence) -> list[list[float]]:
    pauses = random.Random(str(sequence.id))
    results = []
    for step in range(len(sequence.values)):
        time.sleep(pauses.random() * 0.01)
        results.append(ask(client, model, sequence, step))
    return results


@pytest.mark.parametrize("model", list(CONFIGS))
@pytest.mark.parametrize("is_text", [False, True], ids=["numbers", "texts"])
def test_interleaved_sequences_give_what_each_gives_alone(client: Any, model: str, *, is_text: bool) -> None:
    if is_text and model == "direct":
        pytest.skip("its CORRID control is a number")
    sequences = make_sequences(30, 1000, is_text=is_text)
    if model == "unbatched":  # one place in each of two instances: who waits too long for it is forgotten by Triton
        sequences = [sequence for sequence in sequences if not sequence.vanishes][:8]
    with ThreadPoolExecutor(30) as pool:
        results = list(pool.map(lambda sequence: run(client, model, sequence), sequences))
    for sequence, result in zip(sequences, results, strict=True):
        assert result == sequence.expected(model)


def test_a_sequence_that_vanished_begins_anew_with_start(client: Any) -> None:
    values = np.array([[1, 2], [3, 4]], np.float32)
    for _ in range(3):
        assert run(client, "oldest", Sequence(5, values, vanishes=True)) == Sequence(5, values).expected("oldest")


def test_a_sequence_cannot_go_on_after_its_end(client: Any) -> None:
    ended = Sequence(6, np.array([[1, 2], [3, 4]], np.float32))
    run(client, "oldest", ended)
    with pytest.raises(InferenceServerException, match="START flag"):
        ask(client, "oldest", ended, 1)
