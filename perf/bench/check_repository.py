"""Repositories for the benchmark of `check`: many models of every kind of setting, and ensembles of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from onnx import TensorProto, helper

ENSEMBLES = 50  # of a thousand models
_STEPS = 3  # of `_PARTS`, the models that ensembles take: they neither batch nor are stateful
_LAYERS, _WIDTH = 24, 32  # of a graph: 100 kB of weights, which is little
_SCRIPT = '''"""Scales and pads what a request brings, and counts what it saw."""

import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Pads each row to the size of the output, scaled by a parameter of the configuration."""

    def initialize(self, args):
        self.config = json.loads(args["model_config"])
        self.device = args["model_instance_kind"].lower()
        parameters = self.config.get("parameters", {})
        self.scale = self._number(parameters, "scale", 1.0)
        self.side = int(self._number(parameters, "side", 8))
        output = pb_utils.get_output_config_by_name(self.config, "y")
        self.dtype = pb_utils.triton_string_to_numpy(output["data_type"])
        self.width = int(np.prod(output["dims"]))
        self.seen = 0
        labels = os.path.join(args["model_repository"], args["model_version"], "labels.txt")
        self.labels = []
        if os.path.exists(labels):
            with open(labels, encoding="utf-8") as file:
                self.labels = [line.strip() for line in file if line.strip()]

    @staticmethod
    def _number(parameters, name, default):
        text = parameters.get(name, {}).get("string_value", "")
        if not text:
            return default
        numerator, _, denominator = text.partition("/")
        try:
            return float(numerator) / float(denominator or 1)
        except ValueError:
            pb_utils.Logger.log_warn("{} is no number: {}".format(name, text))
            return default

    def _prepare(self, given):
        rows = given.reshape(given.shape[0] if given.ndim > 1 else 1, -1).astype(np.float32)
        rows = rows * np.float32(self.scale)
        missing = self.width - rows.shape[1]
        if missing > 0:
            rows = np.pad(rows, ((0, 0), (0, missing)))
        elif missing < 0:
            rows = rows[:, : self.width]
        return rows.reshape(given.shape).astype(self.dtype)

    def execute(self, requests):
        responses = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, "x")
            if tensor is None:
                error = pb_utils.TritonError("input x is missing")
                responses.append(pb_utils.InferenceResponse(output_tensors=[], error=error))
                continue
            prepared = self._prepare(tensor.as_numpy())
            self.seen += len(prepared)
            output = pb_utils.Tensor("y", prepared)
            responses.append(pb_utils.InferenceResponse(output_tensors=[output]))
        return responses

    def finalize(self):
        pb_utils.Logger.log_info("rows seen: {}".format(self.seen))
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

_BATCHING = (0, 2, 5)  # of `_PARTS`, those with a dynamic batcher


def write_plain(folder: Path, models: int, dice: random.Random) -> None:
    """Write models whose files are neither Python nor ONNX, and an ensemble of three of them for every twentieth."""
    ensembles = models * ENSEMBLES // 1000
    for number in range(models - ensembles):
        size = 16 if number % len(_PARTS) == _STEPS else dice.choice((4, 16, 224))
        body = f'platform: "pytorch_libtorch"\n{_TENSORS.format(size=size)}{_PARTS[number % len(_PARTS)]}'
        _write(folder / f"model_{number}", body, "model.pt", b"")
    for number in range(ensembles):
        _write(folder / f"ensemble_{number}", _ensemble(number, models - ensembles), ".gitkeep", b"")


def write_with_files(folder: Path, models: int, dice: random.Random) -> None:
    """Write models of Python and of ONNX in turn, the same configurations otherwise."""
    graph = _graph()
    for number in range(models):
        if number % 2:
            body = f'backend: "onnxruntime"\n{_TENSORS.format(size=_WIDTH)}{_PARTS[dice.choice(_BATCHING)]}'
            _write(folder / f"model_{number}", body, "model.onnx", graph)
        else:
            body = f'backend: "python"\n{_TENSORS.format(size=dice.choice((4, 16, 224)))}{dice.choice(_PARTS)}'
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
    """Return a graph of some layers with weights."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", _WIDTH]) for name in ("x", "y")]
    names = ["x", *(f"h{layer}" for layer in range(1, _LAYERS)), "y"]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(_LAYERS)]
    shape, data = [_WIDTH, _WIDTH], bytes(4 * _WIDTH * _WIDTH)
    weights = [helper.make_tensor(f"w{n}", TensorProto.FLOAT, shape, data, raw=True) for n in range(_LAYERS)]
    graph = helper.make_graph(nodes, "layers", tensors[:1], tensors[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized
