"""Build and re-build 1,000 models against the least that must be done: `python -m ...perf.bench.build_speed`.

The least is reading the same YAML with a C parser, `onnx.load` of the files, and parsing and printing the 1,000
messages with protobuf. All are timed in turn within one process, several times over; the goal is a ratio of at most 4.
"""

from __future__ import annotations

import functools
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
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.statistics import median, median_interval

GOAL = 4.0


@click.command()
@click.option("--models", default=1000, show_default=True, help="How many models the spec has.")
@click.option("--rounds", default=10, show_default=True, help="How often each is timed.")
def main(models: int, rounds: int) -> None:
    """Time build and re-build of many models."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(Path(folder), models, rounds)
    rows = [_row(what, times, seconds["least"]) for what, times in seconds.items()]
    ratios = {what: _ratios(times, seconds["least"]) for what, times in seconds.items()}
    write_result(
        "build_speed",
        {
            "models": models,
            "rounds": rounds,
            "seconds": {what: round(median(times), 3) for what, times in seconds.items()},
            "ratio": {what: round(median(values), 2) for what, values in ratios.items()},
            "goal": GOAL,
        },
    )
    console.result(console.table([f"{models} models", "median s", "ratio to least", "interval"], rows))
    console.result(f"goal: build and re-build at most {GOAL:g} times the least")


def measure(folder: Path, models: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round for the least, for build, and for build again."""
    spec = write_spec(folder, models)
    build_repository(spec, folder / "warm")
    configs = [path.read_text() for path in sorted((folder / "warm").glob("*/config.pbtxt"))]
    seconds: dict[str, list[float]] = {"least": [], "build": [], "re-build": []}
    for number in range(rounds):
        build = functools.partial(build_repository, spec, folder / f"round{number}")
        seconds["least"].append(_timed(functools.partial(least, spec, configs)))
        seconds["build"].append(_timed(build))
        seconds["re-build"].append(_timed(build))
    return seconds


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


def _ratios(seconds: list[float], least_s: list[float]) -> list[float]:
    return [ours / theirs for ours, theirs in zip(seconds, least_s, strict=True)]


def _row(what: str, seconds: list[float], least_s: list[float]) -> list[str]:
    ratios = _ratios(seconds, least_s)
    interval = median_interval(ratios)
    return [what, f"{median(seconds):.2f}", f"{median(ratios):.2f}", f"{interval.low:.2f} to {interval.high:.2f}"]


if __name__ == "__main__":
    main()
