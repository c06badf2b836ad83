"""Repositories for the benchmark of `check`: many models of every kind of setting, and ensembles of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from onnx import TensorProto, helper

ENSEMBLES = 50  # of a thousand models
_STEPS = 3  # of `_PARTS`, the models that ensembles take: they neither batch nor are stateful
_SCRIPT = '''import numpy
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Adds one."""

    def initialize(self, args):
        self.count = int(args["model_instance_name"][-1] == "0")

    def execute(self, requests):
        responses = []
        for request in requests:
            given = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            answer = pb_utils.Tensor("y", (given + numpy.float32(1)).astype(numpy.float32))
            responses.append(pb_utils.InferenceResponse([answer]))
        return responses
'''
_TENSORS = """input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {size} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {size} ] }} ]
"""
_CONTROL = "control { kind: %s fp32_false_true: [ 0, 1 ] }"
_SEQUENCE = f"""sequence_batching {{
  max_sequence_idle_microseconds: 5000000
  control_input [
    {{ name: "START" {_CONTROL % "CONTROL_SEQUENCE_START"} }},
    {{ name: "READY" {_CONTROL % "CONTROL_SEQUENCE_READY"} }}
  ]
  oldest {{ max_candidate_sequences: 4 }}
}}
"""
_GROUPS = """instance_group [
  { name: "first" count: 2 kind: KIND_CPU },
  { name: "second" count: 1 kind: KIND_CPU }
]
"""
_QUEUE = """dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 200
  priority_levels: 2
  default_priority_level: 1
  default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 1000000 allow_timeout_override: true }
}
"""
_PARAMETERS = """parameters { key: "side" value: { string_value: "8" } }
parameters { key: "scale" value: { string_value: "1/255" } }
version_policy: { latest { num_versions: 2 } }
"""
_PARTS = (
    f"max_batch_size: 8\n{_QUEUE}",
    f"max_batch_size: 8\n{_SEQUENCE}",
    f"max_batch_size: 16\ndynamic_batching {{ }}\n{_GROUPS}",
    _PARAMETERS,
    f"{_GROUPS}{_PARAMETERS}",
    f"max_batch_size: 4\ndynamic_batching {{ max_queue_delay_microseconds: 100 }}\n{_PARAMETERS}",
)


def write_plain(folder: Path, models: int, dice: random.Random) -> None:
    """Write models whose files are neither Python nor ONNX, and an ensemble of three of them for every twentieth."""
    ensembles = models * ENSEMBLES // 1000
    for number in range(models - ensembles):
        size = 16 if number % len(_PARTS) == _STEPS else dice.choice((4, 16, 224))
        body = f'platform: "pytorch_libtorch"\n{_TENSORS.format(size=size)}{_PARTS[number % len(_PARTS)]}'
        _write(folder / f"model_{number}", body, "model.pt", b"")
    for number in range(ensembles):
        _write(folder / f"ensemble_{number}", _ensemble(number, models - ensembles), ".gitkeep", b"")


def write_with_files(folder: Path, models: int, _dice: random.Random) -> None:
    """Write models of Python and of ONNX, in turn."""
    graph = _graph()
    for number in range(models):
        queue = "max_batch_size: 8\ndynamic_batching { }\n"
        if number % 2:
            _write(folder / f"model_{number}", f'backend: "onnxruntime"\n{queue}', "model.onnx", graph)
        else:
            body = f'backend: "python"\n{_TENSORS.format(size=16)}{queue}'
            _write(folder / f"model_{number}", body, "model.py", _SCRIPT.encode())


Writer = Callable[[Path, int, random.Random], None]


def _ensemble(number: int, models: int) -> str:
    """Return an ensemble of models whose tensors have any size: three steps in a row."""
    tensors = _TENSORS.format(size=-1)
    steps = []
    for step in range(3):
        given, made = ("x" if step == 0 else f"t{step}"), ("y" if step == 2 else f"t{step + 1}")
        maps = f'input_map {{ key: "x" value: "{given}" }}\n    output_map {{ key: "y" value: "{made}" }}'

        name = f"model_{(number * 18 + step * 6 + _STEPS) % (models - models % 6)}"
        steps.append(f'  step {{\n    model_name: "{name}"\n    model_version: -1\n    {maps}\n  }}')
    body = "\n".join(steps)
    return f'platform: "ensemble"\n{tensors}ensemble_scheduling {{\n{body}\n}}\n'


def _write(folder: Path, config: str, name: str, data: bytes) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    (folder / "1" / name).write_bytes(data)


def _graph() -> bytes:
    """Return a graph of a few layers with weights."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 16]) for name in ("x", "y")]
    nodes, weights = [], []
    for layer in range(8):
        given, made = ("x" if layer == 0 else f"h{layer}"), ("y" if layer == 7 else f"h{layer + 1}")
        nodes.append(helper.make_node("MatMul", [given, f"w{layer}"], [made]))
        weights.append(helper.make_tensor(f"w{layer}", TensorProto.FLOAT, [16, 16], bytes(1024), raw=True))
    graph = helper.make_graph(nodes, "layers", tensors[:1], tensors[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
