"""A request under way in tensorrt_llm_bls, and whether its client still waits for it. Runs inside Triton."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt

WATCH_PERIOD_S = 0.1


class Cancelled(Exception):  # noqa: N818  (no error: what the client asked for)
    """Raised where the client has cancelled."""


class Client(Protocol):
    """One request's sender."""

    def send(self, tensors: Mapping[str, npt.NDArray[Any]], *, is_last: bool) -> None:
        """Send a response."""

    def end(self) -> None:
        """End the responses without another one."""

    def is_cancelled(self) -> bool:
        """Return whether the client has cancelled, or is gone."""


@dataclass(eq=False)
class Job:
    """A request under way, and those that it makes: each has an id of its own, so that `stop` reaches no other."""

    client: Client
    asked: dict[str, str] = field(default_factory=dict)  # id of a request under way -> the engine that has it
    is_stopped: bool = False
    _is_over: bool = False
    _looked_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        """Ask the client nothing more: once its last response is sent, what `is_cancelled` looks at is gone."""
        with self._lock:
            self._is_over = True

    def is_abandoned(self) -> bool:
        """Return whether the client is gone; looks every WATCH_PERIOD_S at most."""
        with self._lock:
            now = time.monotonic()
            if self._is_over or now - self._looked_s < WATCH_PERIOD_S:
                return False
            self._looked_s = now
            return self.client.is_cancelled()


class Watch:
    """Looks whether the clients of the jobs at hand are gone, from one thread, until it is closed.

    A job is stopped again and again until it has ended, since a request that still waits in Triton's queue cannot be
    stopped.
    """

    def __init__(self, stop: Callable[[Job], None]) -> None:
        self._stop = stop
        self._jobs: set[Job] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cancellations", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        """Begin to look after a job."""
        with self._lock:
            self._jobs.add(job)

    def remove(self, job: Job) -> None:
        """End it."""
        with self._lock:
            self._jobs.discard(job)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._closed.wait(WATCH_PERIOD_S):
            with self._lock:
                jobs = list(self._jobs)
            for job in jobs:
                if job.is_stopped or job.is_abandoned():
                    self._stop(job)
