"""`tritonsmith serve` as a person and a script meet it: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

WriteModel = Callable[..., Path]
Traces = Callable[[str], list[str]]
FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
CLI = [sys.executable, "-m", "tritonsmith.generator"]
ENDINGS = {
    signal.SIGINT: 130,
    signal.SIGTERM: 143,
    signal.SIGHUP: 143,
    signal.SIGKILL: -9,
}


@dataclass(frozen=True)
class Serving:
    """A `serve` that is ready, and the name of its run's folder."""

    process: subprocess.Popen[str]
    run: str
    answer: dict[str, object]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    root = tmp_path_factory.mktemp("serve")
    write_model(root, "m")
    return root


@pytest.fixture(scope="module")
def serving(repository: Path) -> Iterator[dict[signal.Signals, Serving]]:
    """One `serve` for each way of ending, started together."""
    argv = [*CLI, "serve", str(repository), "--json", *FREE_PORTS]
    processes = {ending: subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for ending in ENDINGS}
    try:
        yield {ending: ready(process) for ending, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


def ready(process: subprocess.Popen[str]) -> Serving:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    answer = json.loads("".join(lines))
    argv = Path(f"/proc/{answer['pid']}/cmdline").read_bytes().decode().split("\0")
    view = next(word for word in argv if word.startswith("--model-repository="))
    return Serving(process, Path(view.partition("=")[2]).parent.name, answer)


@pytest.mark.parametrize(("ending", "status"), ENDINGS.items())
def test_whatever_ends_serve_leaves_nothing(
    ending: signal.Signals, status: int, serving: dict[signal.Signals, Serving], traces: Traces
) -> None:
    served = serving[ending]
    assert served.answer["models"] == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]
    assert any("python_env_" in trace for trace in traces(served.run))
    served.process.send_signal(ending)
    assert served.process.wait(timeout=40) == status
    deadline_s = time.monotonic() + 10.0
    while traces(served.run) and time.monotonic() < deadline_s:  # after kill -9 the watcher needs a moment
        time.sleep(0.05)
    assert traces(served.run) == []


def test_a_failure_ends_with_status_6_and_the_reason_on_stderr(tmp_path: Path, write_model: WriteModel) -> None:
    write_model(tmp_path, "typo", config="foo: 3")
    argv = [*CLI, "serve", str(tmp_path), *FREE_PORTS]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 6
    assert 'has no field named "foo"' in done.stderr
    assert done.stdout == ""


def test_ctrl_c_during_a_load_ends_at_once(tmp_path: Path, write_model: WriteModel, traces: Traces) -> None:
    code = "import time\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(600)\n"
    write_model(tmp_path / "r", "sleeper", code)
    log = tmp_path / "log"
    argv = [*CLI, "serve", str(tmp_path / "r"), "--log-file", str(log), *FREE_PORTS]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as serve:
        deadline_s = time.monotonic() + 30.0
        while "ModelInstanceInitialize" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        run = "tritonsmith-run-" + log.read_text().partition("/tritonsmith-run-")[2][:8]
        assert traces(run) != []
        serve.send_signal(signal.SIGINT)
        began_s = time.monotonic()
        assert serve.wait(timeout=20) == 130
        assert time.monotonic() - began_s < 10.0
    assert traces(run) == []


def test_a_server_that_dies_is_reported_with_status_6(repository: Path, traces: Traces) -> None:
    argv = [*CLI, "serve", str(repository), "--json", *FREE_PORTS]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        served = ready(process)
        assert traces(served.run) != []
        os.kill(int(str(served.answer["pid"])), signal.SIGKILL)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, "tritonserver was ended by signal 9" in said) == (6, True)
    assert traces(served.run) == []


def test_a_view_on_another_file_system_is_made_of_symbolic_links(repository: Path, traces: Traces) -> None:
    argv = [*CLI, "infer", "m", "-i", "x=[4]", "--repository", str(repository)]
    if os.statvfs("/dev/shm").f_flag & os.ST_NOEXEC:
        pytest.skip("/dev/shm is mounted noexec here, as Docker does: there is no other file system to try")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        environment = {**os.environ, "TMPDIR": elsewhere}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert list(Path(elsewhere).iterdir()) == []
    assert (done.returncode, done.stdout) == (0, "row  y FP32[1]\n0            8\n"), done.stderr


def test_the_container_command_is_printed_and_runs_nothing(repository: Path) -> None:
    argv = [*CLI, "serve", str(repository), "--container", "--dry-run", "--triton", "25.03", "--http-port", "0"]
    argv += ["--grpc-port", "0", "--metrics-port", "0"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "nvcr.io/nvidia/tritonserver:25.03-py3" in done.stdout
    assert f"--volume={repository}:/models:ro" in done.stdout
    assert "+ docker" not in done.stderr
