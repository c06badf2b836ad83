"""The model that the gate is tried on: it computes, and how much of it is a number in its configuration."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.measure.analyzer import AnalyzerRun, AnalyzerTool, run_analyzer
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.statistics import median

NAME, LOAD = "computing", Load("concurrency", 4)
ITERATIONS = 100  # about 3 ms a request
SLOWDOWN = 1.10
SCRIPT = """\
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.iterations = int(parameters["iterations"]["string_value"])
        self.weights = np.random.default_rng(0).standard_normal(2_000)

    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            values = self.weights
            for _ in range(self.iterations):
                values = np.sin(values)
            y = x + np.float32(0 * values[0])
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", y)]))
        return responses
"""
CONFIG = """\
name: "{name}" backend: "python" max_batch_size: 0
input [{{name: "x" data_type: TYPE_FP32 dims: [16]}}] output [{{name: "y" data_type: TYPE_FP32 dims: [16]}}]
instance_group [{{kind: KIND_CPU count: 1}}]
parameters [{{key: "iterations" value: {{string_value: "{iterations}"}}}}]
"""
WINDOW_MS, ROUNDS, PROBED = 150, 12, 1.5


def write_models(folder: Path, iterations: int) -> Path:
    """Write a repository with the model, and so many iterations of its loop in each request."""
    (folder / NAME / "1").mkdir(parents=True, exist_ok=True)
    (folder / NAME / "1" / "model.py").write_text(SCRIPT, encoding="utf-8")
    (folder / NAME / "config.pbtxt").write_text(CONFIG.format(name=NAME, iterations=iterations), encoding="utf-8")
    return folder


def slower_iterations(folder: Path, tool: AnalyzerTool, rounds: int = ROUNDS) -> tuple[int, float, float]:
    """Return how many iterations make the p50 that a client sees 10 % longer, and the p50 of both in microseconds.

    A request has a part that is not the loop, so 10 % more iterations are less than 10 % more time. Half as many again
    are measured beside the plain model in turn, which gives the time of one; the second p50 is what follows for it.

    Raises: UnstableError where more iterations do not take longer.
    """
    counts = (ITERATIONS, round(PROBED * ITERATIONS))
    repositories = [write_models(folder / f"probe-{count}", count) for count in counts]
    seen: tuple[list[float], list[float]] = ([], [])
    with embedded_server(repositories[0]) as plain, embedded_server(repositories[1]) as longer:
        rows = made_up_rows(Control(plain.http_url).metadata(NAME), Control(plain.http_url).config(NAME), 0)
        inputs = write_input_data(folder / "inputs.json", rows)
        for number in range(rounds):
            order = ((plain, seen[0]), (longer, seen[1]))
            for server, values in order if number % 2 else order[::-1]:
                task = AnalyzerRun(NAME, server.grpc_url, LOAD, WINDOW_MS, input_data=inputs)
                values.append(median(run_analyzer(tool, task, folder).profile.latencies_us.tolist()))
    base_us, longer_us = (median(values) for values in seen)
    an_iteration_us = (longer_us - base_us) / (counts[1] - counts[0])
    if an_iteration_us <= 0:
        raise UnstableError("more iterations took no longer: this machine is too noisy to plant a slowdown")
    more = round((SLOWDOWN - 1) * base_us / an_iteration_us)
    return ITERATIONS + more, base_us, base_us + more * an_iteration_us
