"""The folder of a sweep: one sweep at a time measures into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.errors import TritonsmithError, UsageError
from tritonsmith.perf.files import STAGE_PREFIX
from tritonsmith.perf.measure.analyzer import SCRATCH_PREFIX


@contextlib.contextmanager
def sweep_folder(folder: Path) -> Iterator[Path]:
    """Make a sweep's folder, remove what a killed sweep left in it, and keep other sweeps out of it meanwhile.

    Raises: UsageError where it cannot be made, or another sweep is in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as problem:
        raise UsageError(f"cannot make {folder}: {problem.strerror}", hint="choose another --output") from None
    try:
        _lock(handle, folder)
        for leftover in folder.glob(f"{SCRATCH_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in folder.rglob(f"{STAGE_PREFIX}*"):
            leftover.unlink(missing_ok=True)
        yield folder
    finally:
        os.close(handle)


@contextlib.contextmanager
def keeping(folder: Path, what: Callable[[], str]) -> Iterator[None]:
    """Say, where measuring ends early, what is kept in the folder: `what()` in words, nothing where that is empty."""
    try:
        yield
    except (TritonsmithError, KeyboardInterrupt, SystemExit):
        if kept := what():
            console.tip(f"{kept} kept in {folder}; the same command goes on from there")
        raise


def _lock(handle: int, folder: Path) -> None:
    """Lock an open folder; the kernel lets go of it, however we end."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "wait until it has ended, or choose another --output"
        raise UsageError(f"another sweep is measuring into {folder}", hint=hint) from None
