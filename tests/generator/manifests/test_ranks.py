"""The ranks' scripts around a real mpirun: two pods on one machine, told apart by their names and their /tmp."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tritonsmith.generator.manifests import ranks

SCRIPTS = Path(ranks.__file__).parent
LIMIT_S = 120
# Stands for tritonserver: says where it runs; told to end, it first finishes what is in flight, as a file tells.
SERVER = """#!/usr/bin/env bash
said="$SAID/$OMPI_COMM_WORLD_RANK"
trap 'until [ -e "$SAID/answered" ]; do sleep 0.1; done; echo drained >> "$said"; exit 0' TERM
echo "$POD $(taskset -cp $$ | sed 's/.*: //')" > "$said"
while :; do sleep 0.1; done
"""
pytestmark = pytest.mark.skipif(
    not shutil.which("mpirun") or not shutil.which("orted"), reason="Debian's openmpi-bin is not installed"
)
StartPod = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_pod(tmp_path: Path) -> Iterator[StartPod]:
    """Return a function that starts what is process 1 of a pod; all are ended afterwards."""
    names = tmp_path / "bin"
    names.mkdir()
    (names / "hostname").write_text('#!/bin/sh\necho "$POD"\n')
    (names / "server").write_text(SERVER)
    for script in names.iterdir():
        script.chmod(0o755)
    (tmp_path / "said").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []

    def start(name: str, *argv: str, size: int) -> "subprocess.Popen[bytes]":
        folder = tmp_path / name
        folder.mkdir()
        environment = os.environ | {"POD": name, "TMPDIR": str(folder), "SAID": str(tmp_path / "said")}
        environment |= {"PATH": f"{names}:{os.environ['PATH']}", "RANKS_PORT": port, "RANKS_PER_POD": "2"}
        environment |= {"LWS_GROUP_SIZE": str(size), "LWS_LEADER_ADDRESS": "127.0.0.1"}
        environment |= {"OMPI_MCA_plm_rsh_agent": f"bash {SCRIPTS}/agent.sh", **ranks.ATTACHED}
        with (folder / "log").open("wb") as log:
            command, nothing = ["bash", *argv], subprocess.DEVNULL
            pod = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, stdin=nothing, start_new_session=True
            )
        started.append(pod)
        return pod

    yield start
    for pod in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pod.pid, signal.SIGKILL)
        pod.wait(LIMIT_S)


def leader_argv(count: int, *options: str) -> list[str]:
    """Return what a leader's container runs, as `ranks_argv` puts it together, with a stand-in for tritonserver."""
    argv = [f"{SCRIPTS}/start.sh", "mpirun", "--allow-run-as-root", "--bind-to", "none", *options]
    argv += ["-n", "1", "bash", f"{SCRIPTS}/first.sh", "server"]
    return argv + [":", "-n", "1", "server"] * (count - 1)


def said(tmp_path: Path, count: int) -> list[str]:
    """Return what each rank said, once all have."""
    files = [tmp_path / "said" / str(rank) for rank in range(count)]
    deadline = time.monotonic() + LIMIT_S
    while not all(file.is_file() and file.stat().st_size for file in files):
        logs = "\n".join(log.read_text() for log in tmp_path.glob("*/log"))
        assert time.monotonic() < deadline, logs
        time.sleep(0.1)
    return [file.read_text().strip() for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_beyond_the_first_pod_start_in_the_workers_and_requests_in_flight_are_finished(
    tmp_path: Path, start_pod: StartPod, size: int
) -> None:
    name = socket.gethostname()
    names = [name, *(f"{name}-{number}" for number in range(1, size))]
    hosts = ["--hostfile", str(tmp_path / name / "hostfile")]
    workers = [start_pod(worker, f"{SCRIPTS}/join.sh", size=size) for worker in names[1:]]
    leader = start_pod(name, *leader_argv(2 * size, *hosts), size=size)
    assert [text.split()[0] for text in said(tmp_path, 2 * size)] == [one for one in names for _ in range(2)]
    assert [pod.poll() for pod in workers] == [None] * len(workers)  # a process 1 that ends takes its ranks with it
    for pod in (*workers, leader):  # as the kubelet tells all pods of a group that goes
        pod.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert [pod.poll() for pod in (*workers, leader)] == [None] * size
    (tmp_path / "said" / "answered").touch()
    assert [pod.wait(LIMIT_S) for pod in (leader, *workers)] == [0] * size
    assert said(tmp_path, 1)[0].endswith("drained")


def test_a_pod_of_several_ranks_drains_before_it_ends(tmp_path: Path, start_pod: StartPod) -> None:
    leader = start_pod(socket.gethostname(), *leader_argv(2, "--oversubscribe"), size=1)
    cores = {text.partition(" ")[2] for text in said(tmp_path, 2)}
    whole = subprocess.run(
        ["taskset", "-cp", str(os.getpid())], capture_output=True, text=True, check=True
    ).stdout.rpartition(": ")[2]
    assert cores == {whole.strip()}  # bound to no core
    leader.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert leader.poll() is None
    (tmp_path / "said" / "answered").touch()
    assert leader.wait(LIMIT_S) == 0
    assert said(tmp_path, 1)[0].endswith("drained")


def test_a_rank_that_fails_ends_its_pod(tmp_path: Path, start_pod: StartPod) -> None:
    argv = [*leader_argv(1, "--oversubscribe"), ":", "-n", "1", "false"]
    assert start_pod(socket.gethostname(), *argv, size=1).wait(LIMIT_S) not in (0, None)
