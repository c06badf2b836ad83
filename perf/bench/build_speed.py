"""Build and re-build of 1,000 models against the least that must happen: `python -m tritonsmith.perf.bench.build_speed`.

The least is reading the same YAML with a C parser, `onnx.load` of the files, and parsing and printing the 1,000
messages with protobuf. All are timed in turn within one process, several times over; the goal is a ratio of at most 4.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import onnx
import yaml
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator import console

GOAL = 4.0


@click.command()
@click.option("--models", default=1000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(models: int, rounds: int) -> None:
    """Time build and re-build of many models."""
    with tempfile.TemporaryDirectory() as folder:
        console.result(measure(Path(folder), models, rounds))


def measure(folder: Path, models: int, rounds: int) -> str:
    """Return a table of medians over the rounds, with the ratios to the least."""
    spec = write_spec(folder, models)
    build_repository(spec, folder / "warm")
    configs = [path.read_text() for path in sorted((folder / "warm").glob("*/config.pbtxt"))]
    seconds: dict[str, list[float]] = {"least": [], "build": [], "re-build": []}
    for number in range(rounds):
        target = folder / f"round{number}"
        seconds["least"].append(_timed(lambda: least(spec, configs)))
        seconds["build"].append(_timed(lambda target=target: build_repository(spec, target)))  # type: ignore[misc]
        seconds["re-build"].append(_timed(lambda target=target: build_repository(spec, target)))  # type: ignore[misc]
    ratios = {what: [a / b for a, b in zip(times, seconds["least"], strict=True)] for what, times in seconds.items()}
    rows = [
        [what, f"{statistics.median(times):.2f}", f"{statistics.median(ratios[what]):.2f}", _range(ratios[what])]
        for what, times in seconds.items()
    ]
    header = [f"{models} models", "median s", "ratio to least", "least to most"]
    return f"{console.table(header, rows)}\ngoal: build and re-build at most {GOAL:.0f} each"


def write_spec(folder: Path, models: int) -> Path:
    """Write a spec of many models, each with an ONNX file of two inputs, dynamic batching and an instance group."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 16]) for name in ("a", "b", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "add", tensors[:2], tensors[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    lines = ["repository: many", "models:"]
    for number in range(models):
        onnx.save(model, folder / f"m{number}.onnx")
        lines += [
            f"  model_{number}:",
            f"    file: m{number}.onnx",
            "    max_batch_size: 16",
            "    dynamic_batching: {preferred_batch_size: [4, 8], max_queue_delay_microseconds: 100}",
            "    instance_group: [{kind: KIND_CPU, count: 2}]",
        ]
    spec = folder / "tritonsmith.yaml"
    spec.write_text("\n".join(lines) + "\n")
    return spec


def least(spec: Path, configs: list[str]) -> None:
    """Do the least that any tool must: YAML, the ONNX files, the messages."""
    data = yaml.load(spec.read_text(), Loader=yaml.CSafeLoader)
    for model in data["models"].values():
        onnx.load(spec.parent / model["file"])
    for text in configs:
        text_format.MessageToString(text_format.Parse(text, ModelConfig()))


def _timed(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    main()
