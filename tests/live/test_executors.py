"""A sweep spread over a real Ray cluster: two nodes, each worker with a server of its own."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.document import Sweep, SweepPlan, Variation, read_sweep
from tritonsmith.perf.executors.core import CellTask, Measured
from tritonsmith.perf.executors.ray import PRIVATE, RayExecutor, chosen_nodes, connected, plan_spread
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.summary import summarise
from tritonsmith.perf.sweep import measure_sweep, set_up
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
    os.environ.update(PRIVATE)  # before it is imported
    pytest.importorskip("ray", reason="the package ray is not installed")
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


class Killing:
    """An executor that kills the process of a worker, as it begins its fourth cell."""

    def __init__(self, inner: RayExecutor) -> None:
        self.inner = inner
        self.begun: list[CellTask] = []
        self.alive: list[str] = []

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        def note(task: CellTask) -> None:
            begun(task)
            self.begun.append(task)
            if len(self.begun) == 4:
                self.alive = leftovers()
                # the other one measures now, and this one waits for its turn
                threading.Timer(0.3, os.kill, (measuring()[0], signal.SIGKILL)).start()

        yield from self.inner.measure(tasks, note)


def plan_for(
    repository: Path, folder: Path, address: str, plan: SweepPlan = PLAN
) -> tuple[Sweep, list[CellTask], RayExecutor]:
    with embedded_server(repository) as server:
        return plan_spread(set_up(plan, embedded_target(server), folder), address, workers=None)


def measuring() -> list[int]:
    said = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in said.splitlines() if "ray::Worker.measure" in line]


def leftovers() -> list[str]:
    """The command lines of workers, and of what they started: it has Ray's marks in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            is_started = b"RAY_JOB_ID=" in (process / "environ").read_bytes() and not argv.startswith("ray::")
            if argv.startswith("ray::Worker") or (argv and is_started):
                found.append(argv)
    return found


def require_nothing_left() -> None:
    deadline_s = time.monotonic() + 20
    while leftovers() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert leftovers() == []


def test_cells_of_a_killed_worker_come_from_another_and_all_are_as_planned(
    repository: Path, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sweep_folder(tmp_path / "sweep") as folder, console.progress("sweep", PLAN.cells) as progress:
        sweep, tasks, executor = plan_for(repository, folder, address)
        killing = Killing(executor)
        assert leftovers() == []
        done = measure_sweep(sweep, tasks, killing, folder, progress)
    assert "was lost" in capsys.readouterr().err
    assert sum("bin/tritonserver" in argv for argv in killing.alive) == 2
    assert len(killing.begun) == PLAN.cells + 1  # one was begun twice
    assert done.is_complete
    assert read_sweep(folder) == done
    assert {cell.digest for cell in done.cells} == {task.digest for task in tasks}
    assert {cell.place.host for cell in done.cells if cell.place} == {platform.node()}
    assert done.environment.cores == len(os.sched_getaffinity(0))
    assert done.notices == ()  # one kind of machine
    assert [point.repeats for point in summarise(done)] == [3, 3, 3, 3]
    spans = sorted((cell.started_at, cell.measurement.measured_s) for cell in done.cells)
    starts_s = [datetime.datetime.fromisoformat(start).timestamp() for start, _ in spans]
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(starts_s)]
    assert all(gap_s > measured_s for gap_s, (_, measured_s) in zip(gaps_s, spans, strict=False))  # in turns
    require_nothing_left()


def test_an_interrupted_sweep_keeps_its_cells_and_leaves_neither_worker_nor_server(
    repository: Path, tmp_path: Path, address: str
) -> None:
    plan = SweepPlan("passing", (ONE,), repeats=3, window_ms=60)
    with sweep_folder(tmp_path / "sweep") as folder, console.progress("sweep", plan.cells) as progress:
        sweep, tasks, executor = plan_for(repository, folder, address, plan)
        with pytest.raises(KeyboardInterrupt):
            measure_sweep(sweep, tasks, Interrupted(executor), folder, progress)
        require_nothing_left()
        [kept] = read_sweep(folder).cells
        again, left, _ = plan_for(repository, folder, address, plan)
    assert again.cells == (kept,)
    assert [task.digest for task in left] == [task.digest for task in tasks if task.digest != kept.digest]


class Interrupted:
    """An executor after whose first cell Ctrl-C is pressed."""

    def __init__(self, inner: RayExecutor) -> None:
        self.inner = inner

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        with contextlib.closing(self.inner.measure(tasks, begun)) as measured:
            yield next(measured)
            raise KeyboardInterrupt


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"), connected("127.0.0.1:1"):
        pass


def test_more_workers_than_nodes_are_refused(address: str) -> None:
    with (
        connected(address) as ray,
        pytest.raises(UsageError, match="--workers 3: the Ray cluster has 2 nodes with CPUs"),
    ):
        chosen_nodes(ray, 3)


def test_a_cell_whose_worker_is_lost_again_and_again_ends_the_sweep_and_what_is_measured_is_kept(
    repository: Path, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = SweepPlan("passing", (ONE,), repeats=3, window_ms=60)
    with sweep_folder(tmp_path / "sweep") as folder, console.progress("sweep", plan.cells) as progress:
        sweep, tasks, executor = plan_for(repository, folder, address, plan)
        fatal = Fatal(replace(executor, workers=1), tasks[1])
        with pytest.raises(ServerError, match=r"concurrency 1, repeat 2: its worker was lost 3 times, at last on"):
            measure_sweep(sweep, tasks, fatal, folder, progress)
        assert [cell.digest for cell in read_sweep(folder).cells] == [tasks[0].digest]
    assert "1 of 3 cells are kept" in capsys.readouterr().err
    require_nothing_left()


class Fatal:
    """An executor that loses every worker that begins one certain task."""

    def __init__(self, inner: RayExecutor, task: CellTask) -> None:
        self.inner, self.task = inner, task

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        def kill(task: CellTask) -> None:
            begun(task)
            if task.digest == self.task.digest:
                threading.Timer(0.1, os.kill, (worker(), signal.SIGKILL)).start()

        yield from self.inner.measure(tasks, kill)


def worker() -> int:
    """The one worker's process."""
    [pid] = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if b"ray::Worker" in read(path)]
    return pid


def read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""
