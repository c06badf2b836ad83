"""Whether a rolling restart loses requests: `python -m tritonsmith.perf.bench.drain`.

Two embedded servers behind a local proxy are replaced in turn, as Kubernetes does it with the numbers of the
Deployment that `deploy --kubernetes` writes: a new pod (maxSurge 1), and once it is ready an old one ends: it leaves
the endpoints (news that takes a while to arrive), preStop, SIGTERM, the rest of its grace. The next new pod does not
wait for that. Clients ask all the while, over HTTP through a gateway and over connections of their own that they renew,
and over gRPC. Then what each of the measures is for: the same without it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import yaml

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import UnstableError
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.perf.bench.drain_proxy import Pod, Proxy, running_proxy
from tritonsmith.perf.bench.drain_traffic import Client, running_traffic, write_model
from tritonsmith.perf.bench.record import write_result

PODS, CLIENTS = 2, 2  # of each kind
MOST_ENDING = 4  # pods that end at once: this machine's memory has an end
SETTLE_S = 0.5  # of traffic before the first restart and after the last
AGE = "--grpc-max-connection-age="
EXIT = "--exit-timeout-secs="
QUICK = {"deploy": {"pre_stop_s": 1}, "server": {"exit_timeout_s": 6}}


@click.command()
@click.option("--restarts", default=20, show_default=True, help="Rolling restarts, of all pods each.")
@click.option("--quick", is_flag=True, help="One restart of each kind, with short times; nothing is written.")
def main(restarts: int, quick: bool) -> None:
    """Restart servers under load, and count what is lost.

    Raises: UnstableError where a request was lost.
    """
    with tempfile.TemporaryDirectory(prefix="tritonsmith-drain-") as folder:
        write_model(Path(folder))
        spec = QUICK if quick else {}
        result = measure(Path(folder), 1 if quick else restarts, **spec)
    if not quick:
        write_result("drain", result)
    console.result(yaml.safe_dump(result, sort_keys=False).rstrip())
    if result["lost"]:
        raise UnstableError(f"{result['lost']} requests were lost", where="the rolling restarts")


def measure(
    repository: Path,
    restarts: int,
    deploy: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the numbers, what became of the requests, and what becomes of them where one of the measures lacks."""
    numbers = generated_numbers(repository, deploy or {}, server or {})
    begin_s = time.monotonic()
    held = roll(repository, numbers, restarts)
    lacking = {
        "without preStop": roll(repository, replace(numbers, pre_stop_s=0), 1),
        "without an age of gRPC connections": roll(repository, replace(numbers, grpc_connection_age_ms=None), 1),
        "with HTTP connections kept for ever through kube-proxy": roll(repository, numbers, 1, is_kept=True),
    }
    shown = ("lost_by_client", "reasons", "statuses", "drain_s_longest")
    return {
        "numbers": asdict(numbers),
        **held,
        "seconds": round(time.monotonic() - begin_s),
        "lost_by_lack": {name: {key: found[key] for key in shown} for name, found in lacking.items()},
    }


@dataclass(frozen=True)
class Numbers:
    """What a Deployment says about a pod's end, in its own units; `news_s` is ours: until a proxy hears of it."""

    pre_stop_s: float
    grace_s: float
    exit_timeout_s: int
    grpc_connection_age_ms: int | None
    news_s: float

    @property
    def options(self) -> ServerOptions:
        """What a server is started with."""
        return ServerOptions(
            exit_timeout_secs=self.exit_timeout_s,
            grpc_connection_age_ms=self.grpc_connection_age_ms,
            disable_auto_complete_config=True,  # the model's is whole, and a process is started to complete it
        )


@dataclass(frozen=True)
class End:
    """How a server ended: its status (negative: by that signal), and how long after SIGTERM."""

    status: int
    seconds: float


def read_numbers(deployment: Mapping[str, Any]) -> Numbers:
    """Return what a Deployment's pods end with."""
    pod = deployment["spec"]["template"]["spec"]
    container = next(container for container in pod["containers"] if "lifecycle" in container)
    words = [*container.get("command", ()), *container.get("args", ())]
    said = {name: int(word.removeprefix(name)) for word in words for name in (AGE, EXIT) if word.startswith(name)}
    pre_stop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    return Numbers(pre_stop_s, pod["terminationGracePeriodSeconds"], said[EXIT], said.get(AGE), pre_stop_s / 3)


def generated_numbers(repository: Path, deploy: Mapping[str, Any], server: Mapping[str, Any]) -> Numbers:
    """Return the numbers of what is generated for a repository whose spec has these `deploy:` and `server:`."""
    found = read_repository(repository)
    settings = {**found.settings, "deploy": {"repository": {"claim": "models"}, **deploy}, "server": dict(server)}
    files = render(plan_workload(Repository(found.name, found.models, settings=settings)))
    documents = yaml.safe_load_all(files["base/deployment.yaml"])
    return read_numbers(next(one for one in documents if one["kind"] == "Deployment"))


@dataclass(frozen=True)
class Running:
    """A pod: its server, where it listens, and what closes it."""

    server: Server
    address: Pod
    stack: ExitStack


def roll(repository: Path, numbers: Numbers, restarts: int, *, is_kept: bool = False) -> dict[str, Any]:
    """Return what became of requests while all pods were restarted so many times, and how their servers ended.

    With `is_kept` clients keep their HTTP connections for ever, which kube-proxy then keeps with one pod.
    """
    ends: list[End] = []
    with ExitStack() as stack:
        proxy = stack.enter_context(running_proxy())
        together = stack.enter_context(ThreadPoolExecutor())
        pods = list(together.map(_start, [repository] * PODS, [numbers] * PODS))
        stack.callback(_close, pods)
        for pod in pods:
            proxy.add(pod.address)
        traffic = stack.enter_context(running_traffic(list(_clients(proxy, numbers, is_kept=is_kept))))
        time.sleep(SETTLE_S)
        with console.progress("restarts", total=restarts) as bar:
            ending: deque[Future[End]] = deque()
            for number in range(restarts * PODS):
                bar.update(number // PODS)
                if len(ending) == MOST_ENDING:
                    ends.append(ending.popleft().result())
                new = _start(repository, numbers)
                old, pods[number % PODS] = pods[number % PODS], new
                proxy.add(new.address)
                ending.append(together.submit(_end, proxy, old, numbers))
            ends += [one.result() for one in ending]
        time.sleep(SETTLE_S)
    return {
        "restarts": restarts,
        "pods_restarted": len(ends),
        "answered": dict(sorted(traffic.answered.items())),
        "lost": sum(traffic.lost.values()),
        "lost_by_client": dict(sorted(traffic.lost.items())),
        "reasons": dict(traffic.reasons.most_common(5)),
        "statuses": sorted({end.status for end in ends}),
        "drain_s_longest": round(max(end.seconds for end in ends), 1),
    }


def _start(repository: Path, numbers: Numbers) -> Running:
    stack = ExitStack()
    server = stack.enter_context(embedded_server(repository, numbers.options))
    return Running(server, Pod(server.options.http_port, server.options.grpc_port), stack)


def _end(proxy: Proxy, pod: Running, numbers: Numbers) -> End:
    """End a pod as a kubelet does."""
    proxy.remove(pod.address, numbers.news_s)
    time.sleep(numbers.pre_stop_s)
    os.kill(pod.server.pid, signal.SIGTERM)
    began_s = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        pod.server.process.wait(numbers.grace_s - numbers.pre_stop_s)
    pod.server.process.kill()  # does nothing to one that has ended
    end = End(pod.server.process.wait(), time.monotonic() - began_s)
    pod.stack.close()
    return end


def _close(pods: Sequence[Running]) -> None:
    """Remove pods of which nothing more is to be seen."""
    for pod in pods:
        pod.server.process.kill()
        pod.stack.close()


def _clients(proxy: Proxy, numbers: Numbers, *, is_kept: bool) -> Iterator[Client]:
    for _ in range(CLIENTS):
        yield Client("http through a gateway", "http", proxy.url("gateway"))
        yield Client("grpc", "grpc", proxy.url("grpc"))
        if is_kept:
            yield Client("http, connections kept", "http", proxy.url("http"))
        else:
            yield Client("http, connections renewed", "http", proxy.url("http"), numbers.news_s)


if __name__ == "__main__":
    main()
