from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tritonsmith.backends.server import leftovers
from tritonsmith.backends.server.leftovers import PREFIX, SHARED_MEMORY, remove_dead_runs, run_folder, run_processes

HOLD = """
import mmap, sys, time
with open(sys.argv[1], "rb") as library:
    held = mmap.mmap(library.fileno(), 0, access=mmap.ACCESS_READ)
path = bytearray("/".join(sys.argv[2:]).encode())
print("holding", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(leftovers, "ENVIRONMENTS", tmp_path)


@contextmanager
def holding(environment: Path) -> Iterator[None]:
    """Let a process live that has the Python backend's library open and the folder's path in its memory."""
    library = environment.parent / "libtriton_python.so"
    library.write_bytes(b"ELF")
    argv = [sys.executable, "-c", HOLD, str(library), str(environment.parent), environment.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def pretend_server(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that looks like a server of this run: its name, the folder among its arguments."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        ["tritonserver", "-c", "import time; time.sleep(60)", str(folder)], executable=sys.executable
    )


def wait_for(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline_s = time.monotonic() + 5.0
    while process.pid not in run_processes(folder):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_run_takes_its_processes_memory_and_files_with_it() -> None:
    with run_folder() as run:
        region = SHARED_MEMORY / f"{run.name}-test"
        region.touch()
        server = pretend_server(run)
        wait_for(server, run)
    assert server.wait(timeout=5) == -signal.SIGKILL
    assert not region.exists()
    assert not run.exists()


def test_another_runs_processes_are_not_touched(tmp_path: Path) -> None:
    server = pretend_server(tmp_path / f"{PREFIX}other")
    try:
        with run_folder():
            pass
        assert server.poll() is None
    finally:
        server.kill()
        server.wait()


def test_a_process_that_only_mentions_the_folder_is_not_ours() -> None:
    with run_folder() as run:
        reader = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(run)])
        time.sleep(0.2)
        assert reader.pid not in run_processes(run)
    assert reader.poll() is None
    reader.kill()
    reader.wait()


def test_a_run_whose_owner_is_gone_is_removed_at_the_next_start(tmp_path: Path) -> None:
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / "lock").write_text("1")
    remove_dead_runs()
    assert not dead.exists()


def test_a_run_that_is_just_being_made_or_is_alive_is_left_alone(tmp_path: Path) -> None:
    fresh = tmp_path / f"{PREFIX}fresh"
    fresh.mkdir()
    (fresh / "lock").touch()
    with run_folder() as run:
        remove_dead_runs()
        assert fresh.exists()
        assert run.exists()
    os.utime(fresh, (0, 0))
    remove_dead_runs()
    assert not fresh.exists()


def test_a_run_that_was_ended_before_it_had_a_lock_is_removed_once_it_is_old(tmp_path: Path) -> None:
    bare = tmp_path / f"{PREFIX}bare"
    bare.mkdir()
    remove_dead_runs()
    assert list(tmp_path.iterdir()) == [bare]
    assert list(bare.iterdir()) == []
    os.utime(bare, (0, 0))
    remove_dead_runs()
    assert not bare.exists()


def test_an_old_run_whose_lock_is_held_is_alive(tmp_path: Path) -> None:
    with run_folder() as run:
        os.utime(run, (0, 0))
        remove_dead_runs()
        assert run.exists()


def test_the_empty_environment_folders_of_a_killed_server_go_with_its_run(tmp_path: Path) -> None:
    older, used, of_another, own = (
        tmp_path / f"python_env_{name}" for name in ("older1", "used12", "other1", "own123")
    )
    older.mkdir()
    os.utime(older, (0, 0))
    with run_folder(), holding(of_another):
        with run_folder():
            for folder in (own, of_another, used / "0"):
                folder.mkdir(parents=True)
        assert not own.exists()
        assert of_another.exists()
    assert not of_another.exists()  # nobody holds it any more
    assert older.exists()
    assert used.exists()


def test_a_link_of_that_name_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").write_text("1")
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    remove_dead_runs()
    assert (elsewhere / "lock").exists()


def test_a_killed_owner_is_cleaned_up_after_by_its_watcher(tmp_path: Path) -> None:
    code = (
        f"import sys, tempfile, time; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from tritonsmith.backends.server.leftovers import run_folder\n"
        "with run_folder() as run: print(run, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        run = Path(owner.stdout.readline().strip())
        server = pretend_server(run)
        wait_for(server, run)
        owner.kill()
    assert server.wait(timeout=10) == -signal.SIGKILL
    deadline_s = time.monotonic() + 5.0
    while run.exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not run.exists()
