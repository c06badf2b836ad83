"""The live arena on a real server: what it measures, what it writes down, and what a kill of anything does to it."""

import base64
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.server.leftovers import run_processes
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.tune.arena.journal import JOURNAL_NAME
from tritonsmith.perf.tune.arena.live import live_arena
from tritonsmith.perf.tune.arena.server import tuning_server
from tritonsmith.perf.tune.arena.step_inputs import step_inputs
from tritonsmith.perf.tune.core import Candidate, Trial

pytestmark = [pytest.mark.live, pytest.mark.slow]

CONFIG = "dynamic_batching {} instance_group [{ kind: KIND_CPU count: 1 }]"
SQUARE = "data_type: TYPE_FP32 dims: [2, 2]"
FLOATS = f'input {{ name: "x" {SQUARE} }} output {{ name: "y" {SQUARE} }}'
SLEEPING = """
import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.002)
        tensors = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", tensor + 1)]) for tensor in tensors]
"""
PIPE = f"""platform: "ensemble" max_batch_size: 8 {FLOATS}
ensemble_scheduling {{
  step {{
    model_name: "sleeping" model_version: -1
    input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }}
  }}
}}"""
FOUR = Load("concurrency", 4)
AS_SERVED = Candidate("as served", {})
TWO = Candidate("two instances", {"models.sleeping.instance_group.count": 2})
SMALL = Candidate("small batches", {"models.sleeping.max_batch_size": 2, "models.pipe.max_batch_size": 2})
BAD = Candidate("no such kind", {"models.sleeping.instance_group.profile": "[abc]"})
TUNE = """
import sys
from pathlib import Path
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import embedded_target
from tritonsmith.perf.tune.arena.live import live_arena
from tritonsmith.perf.tune.core import Candidate
repository, inputs, folder = map(Path, sys.argv[1:])
with embedded_server(repository) as server:
    print(server.prepared.view.parent.name, flush=True)
    with live_arena(embedded_target(server), "sleeping", inputs, find_analyzer(), folder) as arena:
        for number in range(30):
            candidate = Candidate(f"c{number % 2}", {"models.sleeping.instance_group.count": 1 + number % 2})
            arena.measure(candidate, Load("concurrency", 2), window_ms=20, is_fresh=False)
            print(number, flush=True)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, config in (("sleeping", f'backend: "python" max_batch_size: 8 {FLOATS} {CONFIG}'), ("pipe", PIPE)):
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(config)
    (root / "sleeping" / "1" / "model.py").write_text(SLEEPING)
    (root / "pipe" / "1" / "keep").touch()
    return root


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_input_data(tmp_path_factory.mktemp("inputs") / "in.json", [{"x": np.ones((2, 2), np.float32)}])


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    with tuning_server(repository) as server:
        assert server.options.disable_auto_complete_config
        yield server


@pytest.fixture
def target(server: Server) -> Target:
    return embedded_target(server)


def kill_later(find: Callable[[], list[int]], delay_s: float) -> threading.Thread:
    """Kill the first process that `find` finds, some time from now."""

    def work() -> None:
        time.sleep(delay_s)
        deadline_s = time.monotonic() + 10
        while not (pids := find()) and time.monotonic() < deadline_s:
            time.sleep(0.005)
        for pid in pids[:1]:
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def analyzers() -> list[int]:
    """Our own children that run perf_analyzer."""
    pids = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = {int(pid) for file in pids for pid in file.read_text().split()}
    return [pid for pid in children if b"perf_analyzer" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_candidates_of_a_pipeline_are_measured_in_generations_and_a_bad_one_says_why(
    target: Target, inputs: Path, tmp_path: Path
) -> None:
    limits = (Limit("p99_ms", 0.5), Limit("memory_mib", 9000))
    with live_arena(target, "pipe", inputs, find_analyzer(), tmp_path, limits=limits) as arena:

        def measure(candidate: Candidate, *, is_fresh: bool = False) -> Trial:
            return arena.measure(candidate, FOUR, window_ms=40, is_fresh=is_fresh)

        first, again, fresh = measure(AS_SERVED), measure(AS_SERVED), measure(AS_SERVED, is_fresh=True)
        assert first.generation == again.generation < fresh.generation
        assert first.requests > 20
        assert first.p99_ms > 2
        assert first.good_per_s == 0 < first.throughput_per_s
        assert first.memory_mib > 20
        bad = measure(BAD)
        assert "profile" in bad.failure
        assert bad.throughput_per_s == 0
        small = measure(SMALL)
        assert not small.failure
        assert small.generation > fresh.generation
        assert not measure(TWO).failure
        assert target.control.config("sleeping")["max_batch_size"] == 8
        asked, spent_s = arena.spent_s, small.seconds
        assert asked > spent_s > 0
    assert target.control.config("sleeping")["instance_group"][0]["count"] == 1

    with (tmp_path / JOURNAL_NAME).open("a") as journal:
        journal.write('{"question": {"cand')  # torn by a kill
    with live_arena(target, "pipe", inputs, find_analyzer(), tmp_path, limits=limits) as arena:
        assert measure(AS_SERVED) == first
        assert measure(AS_SERVED) == again
        assert arena.spent_s >= first.seconds + again.seconds
        assert measure(TWO).failure == ""  # asked otherwise: measured


def test_a_step_is_measured_with_what_the_pipeline_sends_it(
    target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain.json"
    for values, said in (([1, 2, 3, 4], ""), ([1, 2, 3], "note: 'sleeping' is measured with made-up rows")):
        plain.write_text(json.dumps({"data": [{"x": values}]}))
        with live_arena(target, "pipe", plain, find_analyzer(), tmp_path) as arena:
            path = step_inputs(arena.bench, ["sleeping"])["sleeping"]
        rows = json.loads(path.read_bytes())["data"]
        sent = base64.b64encode(np.array(values, np.float32).tobytes()).decode()
        assert rows[0]["x"]["shape"] == [2, 2]
        assert (rows[0]["x"]["content"]["b64"] == sent) == (not said)
        assert said in capsys.readouterr().err


def test_probes_tell_how_long_batches_take_and_what_smaller_ones_would_cost(
    target: Target, inputs: Path, tmp_path: Path
) -> None:
    with live_arena(target, "pipe", inputs, find_analyzer(), tmp_path) as arena:
        predict = arena.calibrate([AS_SERVED, SMALL])
        (service,) = predict.calibrated.services.values()
        assert len(service.mean_us) >= 3
        assert service.mean_of(8) > 2000  # it sleeps for 2 ms
        assert predict.calibrated.latency_us > 2000
        many = Load("concurrency", 16)
        assert predict(SMALL, many).throughput_per_s < predict(AS_SERVED, many).throughput_per_s
        answers = (tmp_path / JOURNAL_NAME).read_text().count('{"question"')
    with live_arena(target, "pipe", inputs, find_analyzer(), tmp_path) as arena:
        again = arena.calibrate([AS_SERVED, SMALL])
        assert again.calibrated == predict.calibrated
    assert (tmp_path / JOURNAL_NAME).read_text().count('{"question"') == answers


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_perf_analyzer_measures_once_more(target: Target, inputs: Path, tmp_path: Path, seed: int) -> None:
    with live_arena(target, "sleeping", inputs, find_analyzer(), tmp_path) as arena:
        killer = kill_later(analyzers, random.Random(seed).uniform(0, 0.6))
        trials = [arena.measure(AS_SERVED, FOUR, window_ms=60, is_fresh=False) for _ in range(3)]
        killer.join()
    assert [trial.failure for trial in trials] == ["", "", ""]
    assert all(trial.requests for trial in trials)


@pytest.mark.parametrize("seed", [2, 3])
def test_a_killed_server_is_an_error_that_says_so_and_what_was_measured_is_kept(
    repository: Path, inputs: Path, tmp_path: Path, seed: int
) -> None:
    answered = 0
    begun_s = time.monotonic()
    with embedded_server(repository) as server:
        killer = kill_later(lambda: [server.pid], random.Random(seed).uniform(0.3, 3))
        with (
            pytest.raises(ServerError, match="tritonserver was ended by signal 9"),
            live_arena(embedded_target(server), "sleeping", inputs, find_analyzer(), tmp_path) as arena,
        ):
            while True:
                arena.measure((AS_SERVED, TWO)[answered % 2], FOUR, window_ms=30, is_fresh=answered % 3 == 2)
                answered += 1
        killer.join()
    assert time.monotonic() - begun_s < 60  # not a load's time limit of 120 s
    assert (tmp_path / JOURNAL_NAME).read_text().count('{"question"') >= answered


@pytest.mark.parametrize("seed", [2])
def test_a_killed_tuning_ends_its_server_and_goes_on_where_it_was(
    repository: Path, inputs: Path, tmp_path: Path, seed: int
) -> None:
    argv = [sys.executable, "-c", TUNE, str(repository), str(inputs), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as tuning:
        assert tuning.stdout
        run = Path(tuning.stdout.readline().strip())
        last = tuning.stdout.readline()  # at least one is measured
        time.sleep(random.Random(seed).uniform(0, 1.5))
        tuning.kill()
        last = (last + tuning.stdout.read()).split()[-1]
    deadline_s = time.monotonic() + 20
    while run_processes(run) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not run_processes(run)
    answers = (tmp_path / JOURNAL_NAME).read_text().count('{"question"')
    assert answers >= int(last) + 1
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as again:
        assert again.stdout
        assert again.stderr
        for _ in range(1 + answers):
            again.stdout.readline()
        again.kill()
        assert f"note: {answers} answers are kept" in again.stderr.read()
    assert (tmp_path / JOURNAL_NAME).read_text().count('{"question"') >= answers
