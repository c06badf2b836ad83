"""Run other programs visibly, without a shell, with a time limit; end them with their whole process group."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator import console


@dataclass(frozen=True)
class Completed:
    """A program that ran: `returncode` is negative where a signal ended it, `is_timeout` where our limit did."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float
    is_timeout: bool = False

    def stderr_end(self, lines: int = 12) -> str:
        """Return the last lines of stderr, for an error message."""
        return "\n".join(self.stderr.strip().splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    is_shown: bool = True,
) -> Completed:
    """Run a program to its end and return what it said; past `timeout_s` its process group is killed.

    Raises: FileNotFoundError where the program does not exist.
    """
    words = [str(word) for word in argv]
    if is_shown:
        console.echo_command(words)
    started_s = time.monotonic()
    with subprocess.Popen(
        words,
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as child:
        is_timeout = False
        try:
            stdout, stderr = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            is_timeout = True
            end_group(child.pid, grace_s=1.0)
            stdout, stderr = child.communicate()
        except BaseException:  # Ctrl-C: leave nothing running
            end_group(child.pid, grace_s=1.0)
            raise
    return Completed(tuple(words), child.returncode, stdout, stderr, time.monotonic() - started_s, is_timeout)


def end_group(group: int, *, grace_s: float) -> None:
    """Terminate a process group (its leader's pid), and kill what is left of it after `grace_s`."""
    deadline_s = time.monotonic() + grace_s
    if not _signal_group(group, signal.SIGTERM):
        return
    while time.monotonic() < deadline_s:
        if not _signal_group(group, 0):
            return
        time.sleep(0.02)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a group; False where no member is left (a zombie leader counts as a member)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
