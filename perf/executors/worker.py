"""What measures on another host: it serves the repository that was sent to it and turns tasks into cells."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.server.leftovers import run_folder
from tritonsmith.generator.errors import ServerError, ToolMissingError, TritonsmithError
from tritonsmith.perf.cells import Bench, configurations
from tritonsmith.perf.document import Place, Scalar, SweepPlan
from tritonsmith.perf.executors.core import CellTask, Measured, read_task, write_measured
from tritonsmith.perf.executors.local import measured
from tritonsmith.perf.executors.parcel import Parcel, unpack
from tritonsmith.perf.measure.analyzer import analyzer_version
from tritonsmith.perf.measure.machine import Environment, read_environment
from tritonsmith.perf.sweep import find_analyzer, set_up
from tritonsmith.perf.target import Target, embedded_target


@dataclass(frozen=True)
class Seating:
    """What a worker gets once: the repository, the requests (the plan's `input_data` is not here), and the plan.

    `environment` is the planner's; the versions in it have to be the worker's too.
    """

    plan: SweepPlan
    parcel: Parcel
    input_data: bytes
    environment: Environment


@dataclass(frozen=True)
class Seat:
    """A server on this host that is ready to be measured; `configure` brings a variant onto it."""

    bench: Bench
    place: Place
    configure: Callable[[Mapping[str, Scalar]], None]

    def measured(self, task: CellTask) -> Measured:
        """Measure a task's cell, and say where that was.

        Raises: TritonsmithError that names the host.
        """
        try:
            with one_at_a_time():
                self.configure(task.variant)
                done = measured(self.bench, task)
        except TritonsmithError as problem:
            problem.where = f"{self.place.host}: {problem.where}".removesuffix(": ")
            raise
        return replace(done, cell=replace(done.cell, place=self.place))


@contextlib.contextmanager
def seated(plan: SweepPlan, requests: Path, target: Target, folder: Path, place: Place) -> Iterator[Seat]:
    """Give what measures cells of a plan on a server; `requests` is its input file here, `folder` for what is written.

    Raises: as `set_up`.
    """
    bench = set_up(replace(plan, input_data=requests), target, folder)
    bench = replace(bench, plan=plan)  # cells are named by what the planner knew
    with configurations(bench) as configure:
        yield Seat(bench, place, configure)


class Worker:
    """Serves a repository and measures cells with it, one after the other.

    One worker of a host works at a time, whoever sent it: they would disturb one another. All that it makes lies in a
    folder that goes with its process, the server too, `kill -9` included.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def host(self) -> str:
        """Return the name of the host, which tells that the worker is there."""
        return platform.node()

    def serve(self, seating: Seating, hashes: Sequence[str], *contents: bytes) -> None:
        """Unpack the repository, whose contents come with their hashes, and start its server.

        Raises: TritonsmithError, without leaving anything.
        """
        with one_at_a_time(), ExitStack() as stack:
            place = Place(self.host(), read_environment(seating.environment.server, analyzer_version(find_analyzer())))
            require_versions(place, seating.environment)
            folder = stack.enter_context(run_folder())
            unpack(seating.parcel, dict(zip(hashes, contents, strict=True)), folder / "repository")
            (requests := folder / "requests.json").write_bytes(seating.input_data)
            server = stack.enter_context(embedded_server(folder / "repository"))
            (folder / "sweep").mkdir()
            target = embedded_target(server)
            self._seat = stack.enter_context(seated(seating.plan, requests, target, folder / "sweep", place))
            self._parcel = seating.parcel.digest
            self._stack = stack.pop_all()

    def measure(self, task: bytes) -> bytes:
        """Return the document of what a task's document asks to measure.

        Raises: TritonsmithError that names the host.
        """
        return write_measured(self._measured(read_task(task)))

    def close(self) -> None:
        """End the server and remove what was made."""
        self._stack.close()

    def _measured(self, task: CellTask) -> Measured:
        if task.parcel != self._parcel:
            raise ServerError(f"{task}: this worker serves another repository", where=self._seat.place.host)
        return self._seat.measured(task)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other worker of this host measures; the kernel lets go of it, however we end."""
    path = Path(tempfile.gettempdir(), f"tritonsmith-measuring-{os.getuid()}")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def require_versions(place: Place, planner: Environment) -> None:
    """Refuse a host with other versions than those that the cells are named by.

    Raises: ToolMissingError that names what differs.
    """
    names = ("tritonsmith", "perf_analyzer")
    pairs = [(name, getattr(place.environment, name), getattr(planner, name)) for name in names]
    different = [f"{name} {there} there, {ours} here" for name, there, ours in pairs if there != ours]
    if different:
        raise ToolMissingError("; ".join(different), where=place.host, hint="install the same version on all hosts")
