"""A plan from one sweep of a model that waits instead of computing: as many instances as loads need, and no fewer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.perf.document import Sweep, SweepPlan
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.analyzer import AnalyzerRun, run_analyzer
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.plan.core import Objectives, Traffic
from tritonsmith.perf.plan.replicas.instances import instances_for
from tritonsmith.perf.served import ready_configs
from tritonsmith.perf.statistics import quantile
from tritonsmith.perf.sweep import find_analyzer, run_sweep
from tritonsmith.perf.target import embedded_target
from tritonsmith.perf.variants import changed_configs

pytestmark = [pytest.mark.live, pytest.mark.slow]

WAIT_S = 0.04
LIMIT_MS = 400.0
# Instances' worth of work by how many it needs: fewer cannot answer it, as each answers 1 / WAIT_S a second at most.
LOADS = {1: 0.5, 3: 2.4, 5: 4.3, 8: 7.2}
WAITING = f"""
import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep({WAIT_S} * len(requests))
        return [pb.InferenceResponse([pb.Tensor("y", r.inputs()[0].as_numpy())]) for r in requests]
"""


def calibrate(server: Server, folder: Path) -> Sweep:
    plan = SweepPlan("waiting", (Load("concurrency", 1),), repeats=3, window_ms=200)
    with sweep_folder(folder), console.progress("sweep", plan.cells) as progress:
        return run_sweep(plan, embedded_target(server), folder, progress)


def test_one_sweep_says_how_many_instances_loads_need(write_model: Callable[..., Path], tmp_path: Path) -> None:
    write_model(tmp_path / "models", "waiting", WAITING)
    with embedded_server(tmp_path / "models", ServerOptions(allow_metrics=False, exit_timeout_secs=1)) as server:
        sweep = calibrate(server, tmp_path / "sweep")
        configs = ready_configs(server.control)
        for needed, load in LOADS.items():
            rate_per_s = load / WAIT_S
            plan = instances_for(sweep, configs, Traffic(rate_per_s, 0, 0), Objectives(latency_ms=LIMIT_MS))
            assert needed <= plan.instances <= needed + 1, load
            changed = changed_configs({"models.waiting.instance_group.count": plan.instances}, configs)["waiting"]
            server.load("waiting", MessageToDict(changed, preserving_proto_field_name=True))
            task = AnalyzerRun(
                "waiting",
                server.grpc_url,
                Load("request_rate", rate_per_s),
                window_ms=400,
                input_data=tmp_path / "sweep" / "input.json",
            )
            profile = run_analyzer(find_analyzer(), task, tmp_path).profile
            assert quantile(profile.latencies_us, 0.95) < LIMIT_MS * 1e3, (load, plan.instances)
            assert profile.throughput_per_s > 0.8 * profile.sent_per_s
