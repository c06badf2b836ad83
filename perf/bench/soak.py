"""Whether the server keeps its size: `python -m tritonsmith.perf.bench.soak`.

The pipeline of `tritonsmith init text_generation` on the embedded server; eight clients that stream, stop, leave, and
send what cannot be served, to the ensemble, to tensorrt_llm_bls, and to tensorrt_llm itself. After a warm-up the
resident memory of the server and of each Python process, and what the run has in /dev/shm, are compared with those at
the end. What a client of the ensemble leaves behind in Triton that goes without a word is measured afterwards.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.server.leftovers import SERVER, SHARED_MEMORY, STUB, run_processes
from tritonsmith.generator import console
from tritonsmith.generator.errors import UnstableError
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.perf.bench.llm_shaking import LEAVING_SHARES, STEADY_SHARES, shake, target_of
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.text_pipeline import ENGINE, ENSEMBLE, write_text_pipeline
from tritonsmith.perf.bench.visitor import Target

MIB = 1 << 20
GOAL_MIB = 10
IDLE_LIMIT_S = 10.0
PART = 500  # requests between two looks
INSTANCE = 8  # of a stub's arguments
DISCONNECTS = 300  # of which a third leaves the ensemble


@click.command()
@click.option("--warm-up", default=2000, show_default=True, help="Requests before the first look.")
@click.option("--requests", default=10_000, show_default=True, help="Requests between the first look and the last.")
@click.option("--quick", is_flag=True, help="A twentieth of it; nothing is written.")
def main(warm_up: int, requests: int, quick: bool) -> None:
    """Measure what many requests leave in the server."""
    warm_up, requests = (warm_up // 20, requests // 20) if quick else (warm_up, requests)
    with tempfile.TemporaryDirectory(prefix="tritonsmith-soak-") as folder:
        result = soak(Path(folder), warm_up, requests)
    if not quick:
        write_result("soak", result)
    console.result("\n".join(f"{name}: {value}" for name, value in result.items() if name != "rss_mib"))


def soak(folder: Path, warm_up: int, requests: int) -> dict[str, Any]:
    """Return what was done, and by how much the server has grown.

    Raises: UnstableError where a request got neither its answer nor the error it should have, a place is not freed, or
    a process did not live through it.
    """
    repository = write_text_pipeline(folder / "pipeline")
    begin_s = time.monotonic()
    # 2.51 holds its exit for so long where a client left an ensemble's stream
    with embedded_server(repository, ServerOptions(exit_timeout_secs=2)) as server:
        target = target_of(server, STEADY_SHARES)
        _shake(server, target, warm_up, 0)
        before, seen = sizes(server), []
        done: Counter[str] = Counter()
        with console.progress("requests", total=requests) as bar:
            for start in range(0, requests, PART):
                bar.update(start)
                done += _shake(server, target, min(PART, requests - start), 1 + start)
                seen.append(_mib(sizes(server).rss))
        after = sizes(server)
        left = _shake(server, replace(target, shares=LEAVING_SHARES), DISCONNECTS, -1)[f"{ENSEMBLE}: leave"]
        afterwards = sizes(server)
    return {
        "warm_up": warm_up,
        "requests": requests,
        "done": dict(sorted(done.items())),
        "seconds": round(time.monotonic() - begin_s),
        "rss_before_mib": _mib(before.rss),
        "rss_growth_mib": _mib(after.rss - before.rss),
        "rss_growth_mib_by_process": _growth(before, after),
        "shm_growth_bytes": after.shared_memory - before.shared_memory,
        "shm_regions_grown": after.regions - before.regions,
        "goal": f"rss_growth_mib < {GOAL_MIB}, shm_growth_bytes 0",
        "ensemble_streams_left": left,
        "ensemble_streams_left_rss_growth_mib": _mib(afterwards.rss - after.rss),
        "ensemble_streams_left_shm_growth_bytes": afterwards.shared_memory - after.shared_memory,
        "rss_mib": seen,
    }


@dataclass(frozen=True)
class Sizes:
    """The resident bytes of the server and its stubs, each by name, and the run's bytes and regions in /dev/shm."""

    processes: Mapping[str, int]
    shared_memory: int
    regions: int

    @property
    def rss(self) -> int:
        """The resident bytes of all processes."""
        return sum(self.processes.values())


def sizes(server: Server) -> Sizes:
    """Return how big the server is, in all its parts."""
    run = server.prepared.view.parent
    regions = [entry for entry in SHARED_MEMORY.iterdir() if entry.name.startswith(f"{run.name}-")]
    processes = {_process_name(pid): _resident_bytes(pid) for pid in run_processes(run)}
    return Sizes(processes, sum(entry.stat().st_size for entry in regions), len(regions))


def wait_until_idle(server: Server) -> None:
    """Wait until no request and no block of the KV cache is in use, and none waits before a model.

    Raises: UnstableError where something stays.
    """
    deadline_s = time.monotonic() + IDLE_LIMIT_S
    while in_use := {name: value for name, value in gauges(server).items() if value}:
        if time.monotonic() > deadline_s:
            raise UnstableError(f"{in_use} are in use though nobody asks", where=ENGINE)
        time.sleep(0.05)


def gauges(server: Server) -> Mapping[str, float]:
    """Return how many requests are inside the engine and wait before each model, and how many blocks are used."""
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = (
        'request_type="active"',
        'request_type="waiting"',
        'kv_cache_block_type="used"',
        "_pending_request_count{",
    )
    pairs = (line.rsplit(" ", 1) for line in lines if any(label in line for label in wanted))
    return {name: float(value) for name, value in pairs}


def _shake(server: Server, target: Target, requests: int, seed: int) -> Counter[str]:
    tally = shake(target, requests, seed=seed)
    if tally.wrong:
        raise UnstableError(f"{len(tally.wrong)} requests went wrong: {tally.wrong[0]}", where=target.grpc_url)
    wait_until_idle(server)
    return tally.done


def _growth(before: Sizes, after: Sizes) -> dict[str, float]:
    """Return by how much each process has grown.

    Raises: UnstableError where one has gone, or is new.
    """
    if before.processes.keys() != after.processes.keys():
        raise UnstableError(
            f"{sorted(before.processes)} became {sorted(after.processes)}", where="the server's processes"
        )
    found = {name.partition(" ")[2]: _mib(size - before.processes[name]) for name, size in after.processes.items()}
    return dict(sorted(found.items()))


def _mib(size: int) -> float:
    return round(size / MIB, 2)


def _process_name(pid: int) -> str:
    """Return "<pid> server", or "<pid> <instance>" of a Python model's process.

    Source: python_backend, src/stub_launcher.cc: the instance's name is the eighth argument.
    """
    argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return f"{pid} {argv[INSTANCE] if Path(argv[0]).name == STUB else SERVER}"


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
