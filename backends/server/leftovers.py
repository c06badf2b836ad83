"""The folder of one server run, and how everything that belongs to it is removed: processes, shared memory, files.

Run as a script (`python -I leftovers.py FOLDER`) it is the run's watcher: it waits until the run's owner lets go of
the folder's lock, by ending in whatever way, `kill -9` included, and then removes what is left. Only the standard
library is imported here, so that the watcher starts at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import groupby
from pathlib import Path

PREFIX = "tritonsmith-run-"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies on Linux
ENVIRONMENTS = Path("/tmp")  # noqa: S108 - as libtriton_python.so has it, whatever $TMPDIR says
BEING_MADE_S = 3600.0  # no owner takes so long to take the lock of its folder
PIECE_BYTES = 16 << 20  # of memory, read at once
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
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # in /tmp anybody can make such a name
                continue
            is_old = time.time() - folder.stat().st_mtime > BEING_MADE_S
            # an owner that was ended before it made the lock has left none: it is made here
            with (folder / "lock").open("a+" if is_old else "r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.seek(0)
                if lock.read() or is_old:
                    remove_run(folder)


def remove_run(folder: Path) -> None:
    """End the processes of a run, then remove its shared memory, its environment folders and its files."""
    deadline_s = time.monotonic() + 5.0
    while (pids := run_processes(folder)) and time.monotonic() < deadline_s:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for region in SHARED_MEMORY.iterdir():
        if region.name.startswith(f"{folder.name}-"):
            region.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # without a lock the run had no server yet
        for environment in abandoned_environments((folder / "lock").stat().st_mtime):
            with contextlib.suppress(OSError):
                environment.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def abandoned_environments(since_s: float) -> list[Path]:
    """Return our empty environment folders, made since then, that belong to no process that lives.

    A server makes one for each backend that it loads on libtriton_python.so, to unpack `EXECUTION_ENV_PATH` into, and
    removes them unless it is killed. Their place is fixed and their names are random, but their maker has the name in
    its memory. A process whose memory we may not read counts as the maker of all of them.
    Source: python_backend, src/pb_env.cc (EnvironmentManager), src/python_be.cc (TRITONBACKEND_Initialize).
    """
    found = set()
    for folder in ENVIRONMENTS.glob("python_env_??????"):
        with contextlib.suppress(OSError):
            state = folder.lstat()
            is_ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
            if is_ours and state.st_mtime >= since_s and not any(folder.iterdir()):
                found.add(folder)
    for entry in Path("/proc").iterdir() if found else ():
        if entry.name.isdigit() and _has_python_backend(entry):
            found -= environments_of(entry, found)
    return sorted(found)


def _has_python_backend(process: Path) -> bool:
    try:
        return b"libtriton_python.so" in (process / "maps").read_bytes()
    except OSError:  # ended meanwhile, or another user's, whose folders are not ours
        return False


def environments_of(process: Path, folders: set[Path]) -> set[Path]:
    """Return those of the folders that a process made: whose path stands in its memory; all where that is shut to us.

    `process` is its folder in /proc.
    """
    for _ in range(3):  # memory can be given back while it is read
        with contextlib.suppress(OSError):
            # a path that is just being copied from stack to heap could be missed by one reading
            return _search(folders, process) | _search(folders, process)
    return set(folders) if process.exists() else set()


def _search(folders: set[Path], process: Path) -> set[Path]:
    words, found = {os.fsencode(folder): folder for folder in folders}, set()
    overlap = max(map(len, words), default=0)
    with (process / "mem").open("rb", buffering=0) as memory:
        for start, end in _resident(process):
            for offset in range(start, end, PIECE_BYTES):
                piece = _read(memory, offset, min(PIECE_BYTES + overlap, end - offset))
                found |= {folder for word, folder in words.items() if word in piece}
    return found


def _writable(process: Path) -> Iterator[tuple[int, int]]:
    """Yield the private memory of a process that no file holds: heap, stacks and what was allocated in one piece."""
    for line in (process / "maps").read_text().splitlines():
        fields = line.split(maxsplit=5)  # 7f00-7f10 rw-p 00000000 00:00 0    [heap]
        if fields[1].startswith("rw") and (len(fields) < 6 or fields[5].startswith("[")):
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16)


def _resident(process: Path) -> Iterator[tuple[int, int]]:
    """Yield what is really there of that memory: 3 MB of 500 in a server, most of it stacks that nobody has used."""
    with (process / "pagemap").open("rb", buffering=0) as pagemap:
        for start, end in _writable(process):
            count = (end - start) // mmap.PAGESIZE
            pages = struct.unpack(f"{count}Q", _read(pagemap, start // mmap.PAGESIZE * 8, count * 8))
            offset = start
            # the two highest bits: present, swapped (Documentation/admin-guide/mm/pagemap.rst)
            for is_there, run in groupby(page >> 62 > 0 for page in pages):
                size = sum(1 for _ in run) * mmap.PAGESIZE
                if is_there:
                    yield offset, offset + size
                offset += size


def _read(file: FileIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    content = file.read(size)
    if len(content) < size:
        raise OSError("given back meanwhile")
    return content


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
