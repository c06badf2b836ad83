"""A sweep spread over a real Ray cluster: two nodes, each worker with a server of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.document import Sweep, SweepPlan, Variation, read_sweep
from tritonsmith.perf.executors.core import CellTask
from tritonsmith.perf.executors.ray import PRIVATE, RayExecutor
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.sweep import begin_sweep, measure_sweep, missing_tasks, set_up
from tritonsmith.perf.target import embedded_target

pytestmark = [pytest.mark.live, pytest.mark.slow]

MODEL = """import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.002)
        tensors = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", tensor)]) for tensor in tensors]
"""
CONFIG = """backend: "python" max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }"""
ONE, TWO = Load("concurrency", 1), Load("concurrency", 2)
COUNTS = Variation("models.passing.instance_group.count", (1, 2))
PLAN = SweepPlan("passing", (ONE, TWO), repeats=3, window_ms=60, variations=(COUNTS,))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("ray", reason="the package ray is not installed")
    os.environ.update(PRIVATE)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "passing" / "1").mkdir(parents=True)
    (folder / "passing" / "config.pbtxt").write_text(CONFIG)
    (folder / "passing" / "1" / "model.py").write_text(MODEL)
    return folder


class Run:
    """A sweep of the repository that is about to be spread."""

    def __init__(self, repository: Path, folder: Path, address: str, plan: SweepPlan = PLAN) -> None:
        self.folder = folder
        with embedded_server(repository) as server:
            bench = set_up(plan, embedded_target(server), folder)
            self.sweep = begin_sweep(bench, is_spread=True)
            self.tasks = missing_tasks(self.sweep, bench)
        self.executor = RayExecutor(repository, bench.input_data, self.sweep.environment, address)

    def finish(self) -> Sweep:
        with console.progress("sweep", PLAN.cells) as progress:
            return measure_sweep(self.sweep, self.tasks, self.executor, self.folder, progress)


def workers() -> list[int]:
    """The processes of workers, by the name that Ray gives an actor's process."""
    said = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in said.splitlines() if "ray::Worker" in line]


def test_a_sweep_is_spread_and_a_killed_workers_cells_come_from_another(
    repository: Path, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sweep_folder(tmp_path / "sweep") as folder:
        run = Run(repository, folder, address)
        t = time.time()
        sweep = run.finish()
        print(time.time() - t)
    assert sweep.is_complete
