"""Our `onnxruntime` backend against ONNX Runtime in-process: `python -m tritonsmith.perf.bench.overhead`.

For a tiny model and MLPs of 14 and 24 layers of 1024, in rounds whose order is shuffled: ONNX Runtime called in this
process, one row at a time on one thread (without a pause for throughput, with one for latency); our backend on the
real server at concurrency 1, 16 and 64; an identity Python model with the same tensors (the floor of the Python path);
and a Python model that does nothing but call ONNX Runtime. Every comparison is between numbers of one round.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tritonsmith.backends.python_based.onnxruntime.onnx_session import open_session, read_settings
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.generator.process import run
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.measure.analyzer import CSV_NAME, AnalyzerRun, AnalyzerTool, analyzer_argv, failure
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import parse_csv
from tritonsmith.perf.statistics import median, median_interval
from tritonsmith.perf.sweep import find_analyzer

CONCURRENCIES = (1, 16, 64)
GOAL_MS = 0.10  # above the identity model plus ONNX Runtime's own time, p50 at concurrency 1
PAUSE_S = 0.0003  # an identity model's round trip: for so long a served session is idle between two requests
# At 16 and 64 requests in flight. Without it the first answer of a batch that comes back as a new request is run alone:
# a third of all executions were batches of 1. At concurrency 1 its delay would be added to every request.
BATCHING = "preferred_batch_size: [8, 24] max_queue_delay_microseconds: 4000"
GOAL_RATIOS = {16: 3.5, 64: 6.0}  # of the in-process throughput, for the MLP

IDENTITY = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request.inputs()[0].as_numpy()) for request in requests]

    def answer(self, x):
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", np.zeros((len(x), {columns}), np.float32))])
"""
BARE = """\
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("{path}", options)

    def execute(self, requests):
        return [self.answer(request.inputs()[0].as_numpy()) for request in requests]

    def answer(self, x):
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", self.session.run(["y"], {{"x": x}})[0])])
"""
CONFIG = """\
backend: "{backend}"
max_batch_size: 64
input [{{name: "x" data_type: TYPE_FP32 dims: [{rows}]}}]
output [{{name: "y" data_type: TYPE_FP32 dims: [{columns}]}}]
dynamic_batching {{{batching}}}
instance_group [{{kind: KIND_CPU count: {instances}}}]
"""


@dataclass(frozen=True)
class Network:
    """An MLP: its layers' widths, and how many instances serve it."""

    name: str
    widths: tuple[int, ...]
    instances: int


# mlp14 takes 2 to 3 ms a row on some machines and half of that on others; mlp24 takes so long there.
NETWORKS = (
    Network("tiny", (64, 256, 64), 1),
    Network("mlp14", (1024,) * 15, 2),
    Network("mlp24", (1024,) * 25, 2),
)
Round = dict[str, float]


@click.command()
@click.option("--rounds", default=10, show_default=True, help="How often everything is measured.")
@click.option("--window-ms", default=1000, show_default=True, help="Length of perf_analyzer's windows; three each.")
@click.option("--quick", is_flag=True, help="3 rounds of 300 ms windows; nothing is written.")
def main(rounds: int, window_ms: int, quick: bool) -> None:
    """Measure what our backend adds to ONNX Runtime, and what its batching gains."""
    rounds, window_ms = (3, 300) if quick else (rounds, window_ms)
    with tempfile.TemporaryDirectory(prefix="tritonsmith-overhead-") as folder:
        measured = measure(Path(folder), rounds, window_ms)
    summaries = {name: summarize(values) for name, values in measured.items()}
    if not quick:
        write_result("overhead", {"rounds": rounds, "window_ms": window_ms, "models": summaries})
    console.result("\n\n".join(as_markdown(name, summary) for name, summary in summaries.items()))


def measure(folder: Path, rounds: int, window_ms: int) -> dict[str, list[Round]]:
    """For each network its rounds; keys as `_steps` names them, latencies in ms and throughputs per second."""
    for network in NETWORKS:
        write_models(folder / "models", network)
    inputs = {
        network.name: write_input_data(folder / f"{network.name}.json", [{"x": np.ones(network.widths[0], np.float32)}])
        for network in NETWORKS
    }  # perf_analyzer's own are random bits: NaN from the second layer on
    tool = find_analyzer()
    order = random.Random(0)  # noqa: S311
    measured: dict[str, list[Round]] = {network.name: [] for network in NETWORKS}
    with embedded_server(folder / "models", ServerOptions(allow_metrics=False)) as server:
        sessions = {network.name: _open(folder / "models", network) for network in NETWORKS}
        with console.progress("rounds", total=rounds) as bar:
            for number in range(rounds):
                bar.update(number)
                for network in NETWORKS:
                    values: Round = {}
                    steps = list(_steps(network))
                    order.shuffle(steps)
                    for model, concurrency in steps:
                        if model:
                            load = Load("concurrency", concurrency)
                            task = AnalyzerRun(model, server.grpc_url, load, window_ms, input_data=inputs[network.name])
                            values |= _serve(tool, task, folder)
                        else:
                            values |= _in_process(sessions[network.name], network, window_ms)
                    measured[network.name].append({_unnamed(key, network): value for key, value in values.items()})
    return measured


def summarize(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Median and its interval of each number, and of what the goals are about, each computed within its round."""
    numbers = {key: [values[key] for values in rounds] for key in rounds[0]}
    numbers["overhead_ms"] = [
        values["ours_1_p50_ms"] - values["identity_1_p50_ms"] - values["in_process_p50_ms"] for values in rounds
    ]
    numbers["above_bare_ms"] = [values["ours_1_p50_ms"] - values["bare_1_p50_ms"] for values in rounds]
    for concurrency in CONCURRENCIES:
        numbers[f"ratio_{concurrency}"] = [
            values[f"ours_{concurrency}_per_s"] / values["in_process_per_s"] for values in rounds
        ]
    return {key: _described(values) for key, values in numbers.items()}


def as_markdown(name: str, summary: Mapping[str, Mapping[str, float]]) -> str:
    """One network's numbers as a table, with its goals."""
    rows = [
        ("in-process, batch 1, 1 thread: requests/s", "in_process_per_s", ""),
        *((f"served, concurrency {c}: requests/s", f"ours_{c}_per_s", "") for c in CONCURRENCIES),
        *(
            (f"ratio to in-process, concurrency {c}", f"ratio_{c}", f">= {GOAL_RATIOS[c]:g}")
            if name != "tiny" and c in GOAL_RATIOS
            else (f"ratio to in-process, concurrency {c}", f"ratio_{c}", "")
            for c in CONCURRENCIES
        ),
        ("in-process p50, one session, no pause, ms", "in_process_tight_p50_ms", ""),
        ("in-process p50, a session per instance in turn, 0.3 ms between calls, ms", "in_process_p50_ms", ""),
        ("identity Python model p50, ms", "identity_1_p50_ms", ""),
        ("Python model that calls ONNX Runtime p50, ms", "bare_1_p50_ms", ""),
        ("served p50, ms", "ours_1_p50_ms", ""),
        ("served - identity - in-process, p50, ms", "overhead_ms", f"<= {GOAL_MS:g}"),
        ("served - Python model that calls ONNX Runtime, p50, ms", "above_bare_ms", ""),
    ]
    lines = [f"| {name} | median | interval | goal |", "|---|---|---|---|"]
    for text, key, goal in rows:
        value = summary[key]
        lines.append(f"| {text} | {value['median']:.4g} | {value['low']:.4g} to {value['high']:.4g} | {goal} |")
    return "\n".join(lines)


def write_models(root: Path, network: Network) -> None:
    """The ONNX model, and beside it the two Python models that it is compared with."""
    version = root / network.name / "1"
    version.mkdir(parents=True)
    onnx.save(mlp(network.widths), version / "model.onnx")
    shape = {"rows": network.widths[0], "columns": network.widths[-1], "instances": network.instances}
    config = CONFIG.format(backend="onnxruntime", batching="", **shape)
    (version.parent / "config.pbtxt").write_text(config)
    batching = root / f"batching_{network.name}"
    shutil.copytree(version.parent, batching)
    config = CONFIG.format(backend="onnxruntime", batching=BATCHING, **shape)
    (batching / "config.pbtxt").write_text(config)
    for kind, code in (("identity", IDENTITY), ("bare", BARE)):
        folder = root / f"{kind}_{network.name}" / "1"
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(code.format(path=version / "model.onnx", **shape))
        (folder.parent / "config.pbtxt").write_text(CONFIG.format(backend="python", batching="", **shape))


def mlp(widths: Sequence[int]) -> onnx.ModelProto:
    """Y = relu(... relu(x W0) W1 ...), [n, widths[0]] -> [n, widths[-1]]."""
    values = np.random.default_rng(0)
    nodes, weights = [], []
    for layer, (rows, columns) in enumerate(pairwise(widths)):
        weight = values.standard_normal((rows, columns), np.float32) / np.float32(rows**0.5)
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [f"h{layer}" if layer else "x", f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"h{layer + 1}"]))
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", widths[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", widths[-1]])],
        initializer=weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _steps(network: Network) -> Iterator[tuple[str, int]]:
    """What one round measures: (model, concurrency); no model means in-process."""
    yield "", 1
    for kind in ("identity", "bare"):
        yield f"{kind}_{network.name}", 1
    for concurrency in CONCURRENCIES:
        yield (network.name if concurrency == 1 else f"batching_{network.name}"), concurrency


def _unnamed(key: str, network: Network) -> str:
    """`identity_tiny_1_p50_ms` -> `identity_1_p50_ms`, `tiny_1_per_s` and `batching_tiny_1_per_s` -> `ours_1_per_s`."""
    key = key.removeprefix("batching_")
    return key.replace(f"_{network.name}_", "_").replace(f"{network.name}_", "ours_")


def _open(models: Path, network: Network) -> list[Any]:
    settings = read_settings({}, "CPU", 0, tuple(onnxruntime.get_available_providers()))
    path = models / network.name / "1" / "model.onnx"
    return [open_session(path, settings) for _ in range(network.instances)]


def _in_process(sessions: Sequence[Any], network: Network, window_ms: int) -> Round:
    """Throughput of one session without a pause; p50 of as many in turn as there are instances, with pauses.

    The pause is what a served session has between two requests. It counts, as the turns do: what they leave in the
    caches, and how deep the core sleeps, is ONNX Runtime's time in a server.
    """
    x = {"x": np.ones((1, network.widths[0]), np.float32)}
    without_pause_ms = _calls_ms(sessions[:1], x, window_ms, pause_s=0)
    return {
        "in_process_per_s": 1000 / float(np.mean(without_pause_ms)),
        "in_process_tight_p50_ms": median(without_pause_ms),
        "in_process_p50_ms": median(_calls_ms(sessions, x, window_ms, pause_s=PAUSE_S)),
    }


def _calls_ms(sessions: Sequence[Any], x: Mapping[str, Any], window_ms: int, *, pause_s: float) -> list[float]:
    took_ms = []
    end_s = time.perf_counter() + window_ms / 1000
    for session in cycle(sessions):
        before_s = time.perf_counter()
        session.run(["y"], x)
        after_s = time.perf_counter()
        took_ms.append((after_s - before_s) * 1000)
        if after_s > end_s:
            break
        if pause_s:
            time.sleep(pause_s)
    return took_ms


def _serve(tool: AnalyzerTool, task: AnalyzerRun, folder: Path) -> Round:
    """Throughput and p50 of one load.

    Without the profile export, which holds every request's tensors: writing them costs more than the tiny model.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        argv = analyzer_argv(tool.program, task)
        place = argv.index("--profile-export-file")
        del argv[place : place + 2]
        done = run(argv, timeout_s=task.time_limit_s, cwd=Path(scratch), env=tool.environment, is_shown=False)
        if done.returncode != 0:
            raise failure(done, where=f"{task.model} at {task.load}")
        (row,) = parse_csv(Path(scratch, CSV_NAME).read_text(encoding="latin-1"))
    key = f"{task.model}_{task.load.value:g}"
    return {f"{key}_per_s": row["Inferences/Second"], f"{key}_p50_ms": row["p50 latency"] / 1000}


def _described(values: Sequence[float]) -> dict[str, float]:
    interval = median_interval(values)
    numbers = {"median": median(values), "low": interval.low, "high": interval.high, "coverage": interval.coverage}
    return {key: round(value, 4) for key, value in numbers.items()}


if __name__ == "__main__":
    main()
