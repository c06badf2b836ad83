"""How many instances a plan from one sweep says that loads need, against how many they need on the real server.

A Python model waits instead of computing. Each load is measured with as many instances as the plan says, and with fewer
until that is too few.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.analyzer import AnalyzerRun, run_analyzer
from tritonsmith.perf.measure.kept import count_kept
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.plan.core import Objectives, Traffic
from tritonsmith.perf.plan.replicas.instances import instances_for
from tritonsmith.perf.served import ready_configs
from tritonsmith.perf.sweep import find_analyzer, run_sweep
from tritonsmith.perf.target import embedded_target
from tritonsmith.perf.variants import changed_configs

WAIT_S = 0.04
OBJECTIVES = Objectives(latency_ms=400.0)
LOADS = (0.5, 0.8, 1.5, 2.4, 2.7, 3.5, 4.3, 5.5, 6.6, 7.2)  # instances' worth of work
MODEL = "waiting"
TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: 1 }'
SCRIPT = f"""
import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep({WAIT_S} * len(requests))
        return [pb.InferenceResponse([pb.Tensor("y", r.inputs()[0].as_numpy())]) for r in requests]
"""


@dataclass(frozen=True)
class Bench:
    """What measures: the server, its configurations before any change, what is sent, and a folder."""

    server: Server
    configs: Mapping[str, ModelConfig]
    inputs: Path
    folder: Path
    window_ms: int

    def share_within(self, rate_per_s: float, instances: int) -> float:
        """Measure which share of requests keeps to the objectives with so many instances."""
        changed = changed_configs({f"models.{MODEL}.instance_group.count": instances}, self.configs)[MODEL]
        self.server.load(MODEL, MessageToDict(changed, preserving_proto_field_name=True))
        load, limits_ms = Load("request_rate", rate_per_s), {"p99_ms": OBJECTIVES.latency_ms or 0.0}
        task = AnalyzerRun(MODEL, self.server.grpc_url, load, self.window_ms, input_data=self.inputs)
        (kept,) = count_kept(load, run_analyzer(find_analyzer(), task, self.folder).profile, limits_ms)
        return sum(kept.within) / sum(kept.requests)


@click.command()
@click.option("--window-ms", default=6000, show_default=True, help="perf_analyzer's windows, three each.")
def main(window_ms: int) -> None:
    """Plan, serve, count."""
    with tempfile.TemporaryDirectory(prefix="tritonsmith-plan-") as folder:
        points = measure(Path(folder), window_ms)
    more = [point["planned"] - point["needed"] for point in points]
    summary = {"exact": more.count(0), "one_more": more.count(1), "fewer": sum(one < 0 for one in more)}
    summary["more"] = len(more) - sum(summary.values())
    limit = {"wait_s": WAIT_S, "latency_ms": OBJECTIVES.latency_ms, "share": OBJECTIVES.share, "window_ms": window_ms}
    write_result("plan_instances", {**limit, **summary, "loads": len(points), "points": points})
    console.result("\n".join(f"{point['rate_per_s']:g}/s: {point}" for point in points) + f"\n{summary}")


def measure(folder: Path, window_ms: int) -> list[dict[str, Any]]:
    """Return for each load what was planned, and what is needed."""
    write_model(folder / "models")
    with embedded_server(folder / "models", ServerOptions(allow_metrics=False, exit_timeout_secs=1)) as server:
        sweep = calibrate(server, folder / "sweep")
        bench = Bench(server, ready_configs(server.control), folder / "sweep" / "input.json", folder, window_ms)
        return [measure_load(bench, sweep, load / WAIT_S) for load in LOADS]


def measure_load(bench: Bench, sweep: Sweep, rate_per_s: float) -> dict[str, Any]:
    """Return the instances that are planned for a rate, those that it needs, and the share within with each number."""
    planned = instances_for(sweep, bench.configs, Traffic(rate_per_s, 0, 0), OBJECTIVES).instances
    shares: dict[int, float] = {}
    count = planned
    while count and shares.setdefault(count, bench.share_within(rate_per_s, count)) >= OBJECTIVES.share:
        count -= 1
    needed = count + 1
    while needed > planned and bench.share_within(rate_per_s, needed) < OBJECTIVES.share:
        needed += 1
    console.say(f"{rate_per_s:g}/s: {planned} planned, {needed} needed")
    return {"rate_per_s": rate_per_s, "planned": planned, "needed": needed, "share_within": shares}


def calibrate(server: Server, folder: Path) -> Sweep:
    """Measure one request at a time, once."""
    plan = SweepPlan(MODEL, (Load("concurrency", 1),), repeats=5, window_ms=500)
    with sweep_folder(folder), console.progress("sweep", plan.cells) as progress:
        return run_sweep(plan, embedded_target(server), folder, progress)


def write_model(root: Path) -> None:
    """Write the model that waits."""
    (root / MODEL / "1").mkdir(parents=True)
    (root / MODEL / "config.pbtxt").write_text(f'backend: "python"\nmax_batch_size: 8\n{TENSORS}\n')
    (root / MODEL / "1" / "model.py").write_text(SCRIPT)


if __name__ == "__main__":
    main()
