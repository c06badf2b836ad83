"""The highest load within limits, and replayed traces, on a real server with the real perf_analyzer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.perf.document import Sweep, SweepPlan, read_sweep
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report.tables import table_text
from tritonsmith.perf.slo.core import Span
from tritonsmith.perf.slo.run import run_search
from tritonsmith.perf.sweep import replay_plan, run_sweep
from tritonsmith.perf.target import embedded_target

pytestmark = [pytest.mark.live, pytest.mark.slow]

# one request at a time takes 25 ms: four in flight wait 100 ms each
ONE_AT_A_TIME = """
import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.025 * len(requests))
        return [
            pb.InferenceResponse([pb.Tensor("y", pb.get_input_tensor_by_name(request, "x").as_numpy())])
            for request in requests
        ]
"""
PLAN = SweepPlan("alone", (Load("concurrency", 1),), repeats=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    write_model(models, "alone", ONE_AT_A_TIME)
    with embedded_server(models) as running:
        yield running


def search(server: Server, folder: Path, limits_ms: dict[str, float], span: Span) -> Sweep:
    plan = SweepPlan("alone", (Load(span.kind, span.low),), window_ms=300, repeats=4, slo=limits_ms)
    with sweep_folder(folder), console.progress("sweep") as progress:
        return run_search(plan, [span], embedded_target(server), folder, progress)


def test_the_highest_concurrency_is_found_and_nothing_is_measured_twice(server: Server, tmp_path: Path) -> None:
    sweep = search(server, tmp_path, {"p50_ms": 88.0}, Span("concurrency", 1, 32, 1))
    [answer] = sweep.answers
    assert (answer.outcome, answer.level, answer.failing) == ("found", 3, 4)
    assert answer.throughput_per_s == pytest.approx(40, rel=0.2)
    assert "up to concurrency 3" in table_text(sweep)
    assert read_sweep(tmp_path) == sweep
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert search(server, tmp_path, {"p50_ms": 88.0}, Span("concurrency", 1, 32, 1)) == sweep
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == before


def test_a_limit_below_the_model_s_own_time_is_answered_with_no(server: Server, tmp_path: Path) -> None:
    sweep = search(server, tmp_path, {"p50_ms": 10.0}, Span("concurrency", 1, 32, 1))
    [answer] = sweep.answers
    assert (answer.outcome, answer.failing, len(sweep.cells)) == ("none", 1, 1)


def test_a_trace_is_replayed_as_it_was_recorded(server: Server, tmp_path: Path) -> None:
    times_s = tuple(0.04 * index + (0.3 if index >= 12 else 0) for index in range(24))
    plan = replay_plan(PLAN, "trace.csv", times_s, 1)
    with sweep_folder(tmp_path), console.progress("sweep", plan.cells) as progress:
        sweep = run_sweep(plan, embedded_target(server), tmp_path, progress, times_s)
    for cell in sweep.cells:
        replayed = cell.measurement.replayed
        assert replayed is not None
        assert (replayed.asked, replayed.answered) == (24, 24)
        assert replayed.lag_p50_us < 20_000
    assert "replayed trace.csv at 1x: 24 requests" in table_text(sweep)
