"""Spread cells over a Ray cluster: a worker takes a whole node, serves the repository itself and measures.

A worker's death, of whatever cause, loses at most the cell that it was measuring; another measures that one.
Ray's own processes on this machine listen on 127.0.0.1 alone where we start them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, ToolMissingError, TritonsmithError, UsageError
from tritonsmith.perf.cells import Bench
from tritonsmith.perf.document import Scalar, Sweep
from tritonsmith.perf.executors.backlog import LOSSES_AT_MOST, Backlog
from tritonsmith.perf.executors.core import CellTask, Measured, read_measured, write_task
from tritonsmith.perf.executors.parcel import send_repository
from tritonsmith.perf.executors.worker import Seating, Worker
from tritonsmith.perf.measure.machine import Environment
from tritonsmith.perf.sweep import begin_sweep, missing_tasks

START_LIMIT_S = 120.0  # until the first worker's process is there
CLOSE_LIMIT_S = 40.0
REACH_LIMIT_S = 5.0
LOCAL, CPU = "local", "CPU"
ADDRESS = "RAY_ADDRESS"
# Keep a Ray that we start to ourselves. Without the first it takes an address of the network, whatever it is told
# (ray/_private/services.py: resolve_ip_for_localhost); the second keeps it from reporting to its makers.
PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class RayExecutor:
    """Measures on the nodes of the cluster at `address`; empty: of $RAY_ADDRESS, else on a Ray of our own here.

    `workers` is how many at most; None: one on every node. `input_data` and `environment` are the planner's.
    """

    repository: Path
    input_data: Path
    environment: Environment
    address: str = ""
    workers: int | None = None

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        """Yield the cells as they come. Closed early, it ends the workers and with them their servers.

        Raises: ToolMissingError without Ray; UsageError for more workers than nodes; RepositoryError for a repository
        that is too big; ServerError where cells were lost again and again, or no worker starts; TritonsmithError that a
        worker met.
        """
        if not tasks:
            return
        with connected(self.address) as ray:
            nodes = chosen_nodes(ray, self.workers)
            parcel, contents = send_repository(self.repository, ray.put)
            tasks = [replace(task, url="", parcel=parcel.digest) for task in tasks]
            seating = Seating(tasks[0].plan, parcel, self._requests(tasks[0]), self.environment)
            crew = Crew(ray, ray.put(seating), contents)
            try:
                crew.start(nodes)
                yield from crew.measure(Backlog(tasks), begun)
            finally:
                crew.end()

    def _requests(self, task: CellTask) -> bytes:
        content = self.input_data.read_bytes()
        if hashlib.sha256(content).hexdigest() != task.input_sha256:
            raise UsageError(f"{self.input_data} was changed meanwhile", hint="measure again")
        return content


@dataclass
class Member:
    """A worker: its actor, what it is at, and which variant it has loaded; `host` is empty until it is there."""

    actor: Any
    stage: Literal["starting", "serving", "ready"] = "starting"
    host: str = ""
    task: CellTask | None = None
    variant: Mapping[str, Scalar] | None = None

    @property
    def key(self) -> str:
        """Return what names it."""
        return str(id(self))


class Crew:
    """The workers of one sweep; `_asked` has Ray's references to the answers that they owe."""

    def __init__(self, ray: Any, seating: Any, contents: Mapping[str, Any]) -> None:
        self._ray, self._seating, self._contents = ray, seating, contents
        self._members: list[Member] = []
        self._asked: dict[Any, Member] = {}
        self._starts_left = 0
        self._problem: TritonsmithError | None = None  # why a worker cannot serve

    def start(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Start a worker on each node; it takes all of the node, since other work there would disturb it."""
        self._starts_left = len(nodes) + LOSSES_AT_MOST
        for node in nodes:
            self._start_on(node)

    def measure(self, backlog: Backlog, begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        """Yield each cell as it comes, until nothing is left and nobody measures."""
        deadline_s = time.monotonic() + START_LIMIT_S
        while backlog.left or any(member.task for member in self._members):
            if not self._members:
                self._start_again()
            answered, _ = self._ray.wait(list(self._asked), timeout=1.0)
            if not any(member.host for member in self._members):
                self._require_start(deadline_s)
            for reference in answered:
                measured = self._take_in(reference, self._asked.pop(reference), backlog)
                if measured is not None:
                    yield measured
            for member in self._members:
                self._hand_out(member, backlog, begun)

    def end(self) -> None:
        """End all workers: the idle ones take their servers down, the others' watchers do it for them."""
        idle = [member.actor.close.remote() for member in self._members if member.stage == "ready" and not member.task]
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.wait(idle, num_returns=len(idle), timeout=CLOSE_LIMIT_S) if idle else None
        for member in self._members:
            self._ray.kill(member.actor)

    def _start_on(self, node: Mapping[str, Any]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._starts_left -= 1
        resources = node["Resources"]
        where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        # all GPUs, too: an actor that asks for none sees none
        options = {"num_cpus": resources[CPU], "num_gpus": resources.get("GPU", 0), "scheduling_strategy": where}
        member = Member(self._ray.remote(Worker).options(**options).remote())
        self._members.append(member)
        self._asked[member.actor.host.remote()] = member

    def _start_again(self) -> None:
        """Start a worker anew where none is left."""
        if self._problem is not None:
            raise self._problem
        if self._starts_left <= 0:
            raise ServerError("no worker of the Ray cluster stays alive", hint="`ray status`, and the workers' logs")
        self._start_on(living_nodes(self._ray)[0])

    def _require_start(self, deadline_s: float) -> None:
        if time.monotonic() > deadline_s:
            hint = "a worker takes a whole node: see with `ray status` whether one is free"
            raise ServerError(f"no worker of the Ray cluster started within {START_LIMIT_S:g} s", hint=hint)

    def _hand_out(self, member: Member, backlog: Backlog, begun: Callable[[CellTask], None]) -> None:
        if member.stage != "ready" or member.task or (task := backlog.take(member.key, member.variant)) is None:
            return
        member.task, member.variant = task, task.variant
        begun(task)
        self._asked[member.actor.measure.remote(write_task(task))] = member

    def _take_in(self, reference: Any, member: Member, backlog: Backlog) -> Measured | None:
        """Return the cell that an answer brings, None where it brings none.

        Raises: TritonsmithError that the worker met while it measured, or that its loss is one too many.
        """
        try:
            answer = self._ray.get(reference)
        except TritonsmithError as problem:
            own = getattr(problem, "cause", problem)  # Ray's error is of our class, too
            if member.stage == "ready":
                raise own from None
            self._leave_out(member, own)
        except self._ray.exceptions.RayTaskError:  # a bug of ours
            raise
        except self._ray.exceptions.RayError as problem:
            self._lose(member, str(problem).splitlines()[0], backlog)
        else:
            return self._advance(member, answer)
        return None

    def _advance(self, member: Member, answer: Any) -> Measured | None:
        if member.stage == "starting":
            member.stage, member.host = "serving", answer
            served = member.actor.serve.remote(self._seating, list(self._contents), *self._contents.values())
            self._asked[served] = member
        elif member.stage == "serving":
            member.stage = "ready"
        else:
            member.task = None
            return read_measured(answer)
        return None

    def _leave_out(self, member: Member, problem: TritonsmithError) -> None:
        """Go on without a worker that cannot serve; where all cannot, the first one's reason is told."""
        console.say(f"note: {member.host} is left out: {problem.message}")
        self._problem = self._problem or problem
        self._members.remove(member)
        self._ray.kill(member.actor)

    def _lose(self, member: Member, reason: str, backlog: Backlog) -> None:
        where = member.host or "a node"
        self._members.remove(member)
        self._ray.kill(member.actor)
        console.say(f"note: the worker on {where} was lost: {reason}")
        if member.task is not None and not backlog.give_back(member.task, member.key):
            raise ServerError(
                f"{member.task}: its worker was lost {LOSSES_AT_MOST} times, at last on {where}: {reason}",
                hint="does something end processes there, such as a lack of memory? `ray status` and the kernel's log",
            )


def living_nodes(ray: Any) -> list[Mapping[str, Any]]:
    """Return the nodes that can work, in an order that stays."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(CPU, 0) >= 1]
    if not nodes:
        raise ServerError("the Ray cluster has no node with a CPU", hint="`ray status` shows its nodes")
    return sorted(nodes, key=lambda node: (node["NodeManagerHostname"], node["NodeID"]))


def chosen_nodes(ray: Any, workers: int | None) -> list[Mapping[str, Any]]:
    """Return a node for each worker.

    Raises: UsageError for more workers than nodes.
    """
    nodes = living_nodes(ray)
    if workers is not None and workers > len(nodes):
        hint = "a worker takes a whole node, or they would disturb one another's measurements"
        raise UsageError(f"--workers {workers}: the Ray cluster has {len(nodes)} nodes with CPUs", hint=hint)
    chosen = nodes[:workers]
    hosts = {node["NodeManagerHostname"] for node in chosen}
    console.say(f"measuring on {', '.join(sorted(hosts))}")
    if len(hosts) < len(chosen):
        console.say(f"note: {len(chosen)} nodes, some of them on one host: their workers take turns")
    return chosen


def require_ray() -> None:
    """Refuse to begin without Ray.

    Raises: ToolMissingError.
    """
    if importlib.util.find_spec("ray") is None:
        raise ToolMissingError("--executor ray needs the package ray", hint="pip install 'tritonsmith[ray]'")


def require_answer(address: str) -> None:
    """Refuse a "host:port" where nobody listens, which Ray itself takes minutes to find out.

    Raises: UsageError.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=REACH_LIMIT_S).close()
    except (OSError, OverflowError) as problem:
        hint = "`ray start --head` says it, or leave out --ray-address to measure here"
        raise UsageError(f"no Ray cluster at {address}: {problem}", hint=hint) from None


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give the module `ray`, connected; afterwards it is not, and a Ray that was started for it is gone.

    Raises: UsageError where there is no cluster at the address.
    """
    require_ray()
    address = address or os.environ.get(ADDRESS) or LOCAL
    require_answer(address)
    own: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    if own:
        os.environ.update(PRIVATE)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as problem:
        reason = str(problem).splitlines()[0]
        raise UsageError(f"no Ray cluster at {address}: {reason}", hint="--ray-address HOST:PORT of its head") from None
    finally:
        for number, handler in handlers.items():  # Ray's own would end us without taking anything down
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def plan_spread(bench: Bench, address: str, workers: int | None) -> tuple[Sweep, list[CellTask], RayExecutor]:
    """Return a bench's sweep for a cluster, what is left of it, and what measures that.

    The bench's server has then done its part: it is to be ended before anything is measured, here as elsewhere.
    """
    sweep = begin_sweep(bench, machines="any of a cluster")
    repository = bench.target.repository
    if repository is None:
        hint = "leave out --url: each worker serves --repository"
        raise UsageError("--executor ray does not measure a running server", hint=hint)
    executor = RayExecutor(repository, bench.input_data, sweep.environment, address, workers)
    return sweep, missing_tasks(sweep, bench), executor
