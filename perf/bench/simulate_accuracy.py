"""The simulator against the real server: `python -m tritonsmith.perf.bench.simulate_accuracy`.

Two models, one that sleeps (batching pays) and one that computes (it does not), and an ensemble of both. A few short
probes of each model with one instance, and one with two, calibrate the simulator; then every configuration is measured
under every load, interleaved, and compared with what was simulated for it. Rates are set from the simulation: a share
of what saturates the configuration. Goals: the median error of throughput is at most 10 %; that of p99 at most 25 %,
or 1.5 times half the range of its repeats, where that is more.

`--grid build/bench-tune` measures none of this: it probes the models of the bench of `tune` as `tune` does, and
compares what that predicts with all that was measured there.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from google.protobuf import text_format
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.perf.bench.accuracy import as_table, compare, grid_points, summarize
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.simulate_grid import measured_grids
from tritonsmith.perf.measure.analyzer import AnalyzerResult, AnalyzerRun, AnalyzerTool, run_analyzer
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import machine_load, read_cpu_ticks
from tritonsmith.perf.simulate import (
    ClosedLoop,
    Contention,
    Poisson,
    ServiceTimes,
    System,
    Traffic,
    read_system,
    simulate,
)
from tritonsmith.perf.simulate.calibration import Calibration, Probe, calibrate, with_contention
from tritonsmith.perf.statistics import quantile
from tritonsmith.perf.sweep import find_analyzer

SCRIPTS = {
    "sleeping": "time.sleep(0.004 + 0.0005 * rows)",
    "computing": "[np.sin(self.values) for _ in range(rows)]",
}
SCRIPT = """\
import time
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.values = np.random.default_rng(0).standard_normal(100_000)

    def execute(self, requests):
        inputs = [request.inputs()[0].as_numpy() for request in requests]
        rows = sum(map(len, inputs))
        {work}
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in inputs]
"""
CONFIG = """\
name: "{name}" backend: "python" max_batch_size: 8
input [{{name: "x" data_type: TYPE_FP32 dims: [16]}}] output [{{name: "y" data_type: TYPE_FP32 dims: [16]}}]
instance_group [{{kind: KIND_CPU count: {count}}}] dynamic_batching {{{batching}}}
"""
ENSEMBLE = """\
name: "pipeline" platform: "ensemble" max_batch_size: 8
input [{name: "x" data_type: TYPE_FP32 dims: [16]}] output [{name: "y" data_type: TYPE_FP32 dims: [16]}]
ensemble_scheduling {step [
  {model_name: "sleeping" model_version: -1 input_map {key: "x" value: "x"} output_map {key: "y" value: "between"}},
  {model_name: "computing" model_version: -1 input_map {key: "x" value: "between"} output_map {key: "y" value: "y"}}]}
"""
PROBED = (1, 3, 6, 24)  # concurrencies
PROBE_ROUNDS = 5
CONCURRENCIES = (1, 4, 16)
RATE_SHARE = 0.6
REPEATS, WINDOW_MS = 5, 300


@dataclass(frozen=True)
class Setting:
    """How the two models are configured while `target` is measured."""

    target: str
    count: int
    delay_us: int

    def __str__(self) -> str:
        return f"{self.target}, {self.count} instances, {self.delay_us} us"

    def configs(self) -> dict[str, ModelConfig]:
        """Return the configurations, the ensemble's too."""
        batching = f"max_queue_delay_microseconds: {self.delay_us}" if self.delay_us else ""
        texts = {name: CONFIG.format(name=name, count=self.count, batching=batching) for name in SCRIPTS}
        return {name: text_format.Parse(text, ModelConfig()) for name, text in (texts | {"pipeline": ENSEMBLE}).items()}


SETTINGS = [
    Setting(target, count, delay_us)
    for target in ("sleeping", "computing", "pipeline")
    for count in (1, 2)
    for delay_us in (0, 2000)
]


@dataclass(frozen=True)
class Bench:
    """What measures: the server, perf_analyzer, its input data and a folder."""

    server: Server
    tool: AnalyzerTool
    inputs: Path
    folder: Path
    window_ms: int

    def configure(self, setting: Setting) -> None:
        """Bring a setting onto the live server."""
        for name, config in setting.configs().items():
            if name in SCRIPTS:
                self.server.load(name, MessageToDict(config, preserving_proto_field_name=True))

    def run(self, model: str, load: Load, seed: int = 0) -> AnalyzerResult:
        """Measure once."""
        task = AnalyzerRun(model, self.server.grpc_url, load, self.window_ms, input_data=self.inputs, seed=seed)
        return run_analyzer(self.tool, task, self.folder)

    def counters(self, model: str) -> ModelCounters:
        """Read the server's statistics of a model."""
        return parse_counters(self.server.control.statistics(model), model)


@click.command()
@click.option("--repeats", default=REPEATS, show_default=True, help="Measurements of each point.")
@click.option("--window-ms", default=WINDOW_MS, show_default=True, help="perf_analyzer's windows, three each.")
@click.option("--grid", type=click.Path(path_type=Path), help="What bench-tune measured: its folder.")
def main(repeats: int, window_ms: int, grid: Path | None) -> None:
    """Compare what the simulator predicts with what the real server does; with --grid, with what was measured there."""
    if grid:
        compare_grids(grid)
        return
    ticks = read_cpu_ticks()
    with tempfile.TemporaryDirectory(prefix="tritonsmith-accuracy-") as folder:
        points = measure(Path(folder), repeats, window_ms)
    machine = machine_load(ticks, read_cpu_ticks(), 0.0)
    summary = summarize(points)
    load = {"busy_share": machine.busy_share, "steal_share": machine.steal_share}
    write_result("simulate_accuracy", {"repeats": repeats, "window_ms": window_ms, **load, **summary, "points": points})
    console.result(f"{as_table(points)}\n\n{summary_text(summary)}")


def compare_grids(work: Path) -> None:
    """Print how far predictions are off of grids that the bench of `tune` measured, and keep that."""
    results: dict[str, Any] = {}
    for grid in measured_grids(work):
        points = list(grid_points(grid))
        results[grid.title] = {**summarize(points), "points": points}
        console.result(f"{as_table(points)}\n\n{summary_text(summarize(points))}\n")
    write_result("simulate_grid", results)


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return the summary, a line each."""
    return "\n".join(f"{key}: {value}" for key, value in summary.items())


def measure(folder: Path, repeats: int, window_ms: int) -> list[dict[str, Any]]:
    """Calibrate, predict, measure; one entry for each point."""
    write_models(folder / "models")
    inputs = write_input_data(folder / "inputs.json", [{"x": np.ones(16, np.float32)}])
    with embedded_server(folder / "models", ServerOptions(allow_metrics=False)) as server:
        bench = Bench(server, find_analyzer(), inputs, folder, window_ms)
        calibrations, contention = calibrate_models(bench)
        loads = {setting: list(loads_of(setting, calibrations, contention)) for setting in SETTINGS}
        measured: dict[tuple[Setting, Load], list[tuple[float, float]]] = {}
        order = random.Random(1)  # noqa: S311 - an order, not a secret
        with console.progress("settings", total=repeats * len(SETTINGS)) as bar:
            for repeat in range(repeats):
                for number, setting in enumerate(order.sample(SETTINGS, len(SETTINGS))):
                    bar.update(repeat * len(SETTINGS) + number, str(setting))
                    bench.configure(setting)
                    bench.run(setting.target, Load("concurrency", 4))  # warm-up
                    for load in order.sample(loads[setting], len(loads[setting])):
                        profile = bench.run(setting.target, load, seed=repeat).profile
                        values = (profile.throughput_per_s, quantile(profile.latencies_us, 0.99))
                        measured.setdefault((setting, load), []).append(values)
    return [
        compare(str(setting), load, predict(setting, load, calibrations, contention), values)
        for (setting, load), values in measured.items()
    ]


def calibrate_models(bench: Bench) -> tuple[dict[str, Calibration], Contention]:
    """Probe each model with one instance and with two."""
    calibrations, contention = {}, Contention((1.0, 1.0))
    for name in SCRIPTS:
        one: list[Probe] = []
        two: list[Probe] = []
        for _ in range(PROBE_ROUNDS):
            for count, probes, all_clients in ((1, one, PROBED), (2, two, PROBED[-1:])):
                bench.configure(Setting(name, count, 0))
                bench.run(name, Load("concurrency", 4))
                probes += [_probe(bench, name, clients) for clients in all_clients]
        calibration = calibrate(one)
        service, shown = with_contention(calibration.service, [probe.counters for probe in two])
        calibrations[name] = replace(calibration, service=service)
        contention = max(contention, shown, key=lambda found: found.factors)
        means = {size: round(mean_us) for size, mean_us in service.mean_us.items()}
        overhead_us, handover_us = round(calibration.overhead.mean_us), round(service.handover_us)
        console.say(f"{name}: {means} us, overhead {overhead_us}, handover {handover_us}, two: {shown.factors[1]:.2f}")
    return calibrations, contention


def loads_of(setting: Setting, calibrations: Mapping[str, Calibration], contention: Contention) -> Iterator[Load]:
    """Yield the concurrencies, and a rate that is a share of what the simulation saturates at."""
    yield from (Load("concurrency", clients) for clients in CONCURRENCIES)
    saturated, _ = predict(setting, Load("concurrency", 64), calibrations, contention)
    yield Load("request_rate", round(RATE_SHARE * saturated))


def predict(
    setting: Setting, load: Load, calibrations: Mapping[str, Calibration], contention: Contention
) -> tuple[float, float]:
    """Return (requests per second, p99 in microseconds)."""
    services: dict[str, ServiceTimes] = {name: calibration.service for name, calibration in calibrations.items()}
    overhead = calibrations[setting.target if setting.target in calibrations else "computing"].overhead
    system: System = read_system(setting.configs(), services, contention=contention, overhead=overhead)
    arrivals = ClosedLoop(int(load.value)) if load.kind == "concurrency" else Poisson(load.value)
    outcome = simulate(system, Traffic(setting.target, arrivals))
    return outcome.throughput_per_s, outcome.p99_us


def write_models(root: Path) -> None:
    """Write both models and the ensemble."""
    for name, config in Setting("", 1, 0).configs().items():
        folder = root / name / "1"
        folder.mkdir(parents=True)
        (folder.parent / "config.pbtxt").write_text(text_format.MessageToString(config))
        if name in SCRIPTS:
            (folder / "model.py").write_text(SCRIPT.format(work=SCRIPTS[name]))


def _probe(bench: Bench, model: str, clients: int) -> Probe:
    before = bench.counters(model)
    profile = bench.run(model, Load("concurrency", clients)).profile
    counters = bench.counters(model).since(before)
    return Probe(clients, profile.throughput_per_s, profile.latencies_us, counters)


if __name__ == "__main__":
    main()
