"""Gates whose servers, whose perf_analyzer, or who themselves are killed while they measure."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.slow]
LIMIT_S = 120.0
BUSY = 7  # the status of a gate that can show nothing: the machine is too busy


@pytest.fixture
def start(tmp_path: Path, write_model: Callable[..., Path]) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """A function that starts a gate of two repositories, `a` the baseline and `b` the candidate."""
    for name in ("a", "b"):
        write_model(tmp_path / name, "double")
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        argv = [str(Path(sys.executable).parent / "tritonsmith"), "gate", str(tmp_path / "b")]
        argv += [
            "--baseline",
            str(tmp_path / "a"),
            "--budget-s",
            "120",
            "--window-ms",
            "40",
            "--output",
            str(tmp_path / "gate"),
        ]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def children(parent: int) -> dict[int, str]:
    """Return the command lines of a process's children."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def wait_for(look: Callable[[], object]) -> None:
    """Wait until there is something."""
    deadline_s = time.monotonic() + LIMIT_S
    while not look():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def kept_pairs(folder: Path) -> list[int]:
    """Return the numbers of the pairs that are kept."""
    try:
        runs = json.loads((folder / "gate" / "unfinished.json").read_bytes())["runs"]
    except FileNotFoundError:  # it has ended
        return []
    return sorted({run["pair"] for run in runs})


def state(process: int) -> str:
    """Return the letter of a process's state, nothing where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def stopped_run(parent: int, folder: Path) -> tuple[int, str]:
    """Stop a perf_analyzer within its run, once pairs are measured; return it and the port that it measures."""
    wait_for((folder / "unfinished.json").exists)
    found: list[tuple[int, str]] = []

    def look() -> bool:
        for process, line in children(parent).items():
            url = re.search(r" -u \S+:(\d+) ", line)
            if "perf_analyzer" in line.split(" ")[0] and url:
                os.kill(process, signal.SIGSTOP)
                wait_for(lambda: state(process) in ("T", "Z", ""))  # noqa: B023 - called at once
                found.extend([(process, url[1])] if state(process) == "T" else [])
        return bool(found)

    wait_for(look)
    return found[0]


def test_a_killed_server_is_its_side_s_failure(start: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start()
    analyzer, port = stopped_run(process.pid, tmp_path / "gate")
    lines = {pid: line.split(" ") for pid, line in children(process.pid).items()}
    [server] = [
        pid
        for pid, words in lines.items()
        if "tritonserver" in words[0] and any(word.endswith(f"-port={port}") for word in words)
    ]
    os.kill(server, signal.SIGKILL)
    os.kill(analyzer, signal.SIGCONT)
    _, said = process.communicate(timeout=LIMIT_S)
    if process.returncode == 6:  # it was the baseline's, while it warmed up
        assert "the baseline" in said
        return
    [failure] = json.loads((tmp_path / "gate" / "gate.json").read_bytes())["verdict"]["failures"]
    assert failure["kind"] == "missing point"
    assert process.returncode == {"candidate": 1, "baseline": 7}[failure["side"]]


def test_a_killed_perf_analyzer_is_nobody_s_failure(start: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start()
    analyzer, _ = stopped_run(process.pid, tmp_path / "gate")
    os.kill(analyzer, signal.SIGKILL)
    before = len(kept_pairs(tmp_path))
    # a pair with a failure ends the gate instead, with 1
    wait_for(lambda: process.poll() is not None or len(kept_pairs(tmp_path)) > before)
    process.terminate()
    _, said = process.communicate(timeout=LIMIT_S)
    assert "ended by signal 9; measured again" in said
    assert process.returncode in (143, BUSY), said


def test_a_killed_gate_goes_on_and_leaves_nothing(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path, traces: Callable[[str], list[str]]
) -> None:
    process = start()
    wait_for((tmp_path / "gate" / "unfinished.json").exists)
    servers = " ".join(line for line in children(process.pid).values() if "tritonserver" in line)
    process.kill()
    process.communicate()
    runs = set(re.findall(r"tritonsmith-run-\w+", servers))
    wait_for(lambda: not any(found for run in runs for found in traces(run)))
    before = kept_pairs(tmp_path)
    again = start()
    wait_for(lambda: again.poll() is not None or len(kept_pairs(tmp_path)) > len(before))
    ended = again.poll()
    again.terminate()
    _, said = again.communicate(timeout=LIMIT_S)
    assert ended in (None, BUSY), said
    assert f"pairs kept of an interrupted gate of the same two: {len(before)}" in said
    if ended is None:
        assert kept_pairs(tmp_path)[: len(before) + 1] == list(range(len(before) + 1))
    assert not list((tmp_path / "gate").glob(".measuring-*"))
