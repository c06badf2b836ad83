"""The folder of one server run, and how everything that belongs to it is removed: processes, shared memory, files.

Run as a script (`python -I leftovers.py FOLDER`) it is the run's watcher: it waits until the run's owner lets go of
the folder's lock, by ending in whatever way, `kill -9` included, and then removes what is left. Only the standard
library is imported here, so that the watcher starts at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "tritonsmith-run-"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies on Linux
SERVER, STUB = "tritonserver", "triton_python_backend_stub"


@contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder for one server run; afterwards nothing of the run is left.

    The folder's unique name is in the command line of every process of the run and in the name of every shared
    memory region, so both are found exactly, without recorded process ids that may be used again.
    """
    remove_dead_runs()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))  # until something is written, the folder counts as being made
        lock.flush()
        watcher = _start_watcher(folder)
        try:
            yield folder
        finally:
            with _no_signals():
                remove_run(folder)
                lock.close()
                watcher.wait()


def remove_dead_runs() -> None:
    """Remove what runs left whose owner and watcher are both gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # in /tmp anybody can make such a name
                continue
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.read() or time.time() - folder.stat().st_mtime > 3600:
                remove_run(folder)


def remove_run(folder: Path) -> None:
    """End the processes of a run, then remove its shared memory and its files."""
    deadline_s = time.monotonic() + 5.0
    while (pids := run_processes(folder)) and time.monotonic() < deadline_s:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for region in SHARED_MEMORY.iterdir():
        if region.name.startswith(f"{folder.name}-"):
            region.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def has_stubs(folder: Path) -> bool:
    """Return whether a Python model of the run still has a process."""
    return bool(run_processes(folder, (STUB,)))


def run_processes(folder: Path, programs: tuple[str, ...] = (SERVER, STUB)) -> list[int]:
    """Return the ids of the run's processes that run one of the programs, zombies left out."""
    mark, found = os.fsencode(folder.name), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or not ours
            continue
        if os.fsdecode(os.path.basename(argv[0])) in programs and any(mark in word for word in argv):  # noqa: PTH119
            found.append(int(entry.name))
    return found


def watch(folder: Path) -> None:
    """Wait until the owner of a run has gone, then remove what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        lock = (folder / "lock").open("r+")
    except FileNotFoundError:
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            remove_run(folder)


def _start_watcher(folder: Path) -> subprocess.Popen[bytes]:
    """Start the watcher in a session of its own: neither Ctrl-C nor a hang-up reaches it."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


@contextmanager
def _no_signals() -> Iterator[None]:
    """Hold back INT, TERM and HUP while the run is removed: a second Ctrl-C must not leave half of it."""
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
