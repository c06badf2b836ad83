"""Whether the server keeps its size: `python -m tritonsmith.perf.bench.soak`.

A small Llama behind the backend `tensorrtllm` on the embedded server; eight clients that stream, stop, leave, and send
what cannot be served. After a warm-up the resident memory of the server and its Python processes, and what the run has
in /dev/shm, are compared with those at the end.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.server.leftovers import SHARED_MEMORY, run_processes
from tritonsmith.generator import console
from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.bench.llm_model import MODEL, write_llm_model
from tritonsmith.perf.bench.llm_shaking import Target, shake
from tritonsmith.perf.bench.random_llama import Dimensions, write_llama
from tritonsmith.perf.bench.record import write_result

MIB = 1 << 20
GOAL_MIB = 10
SMALL = Dimensions(layers=2, hidden=64, heads=4, kv_heads=2, intermediate=128, vocab=512, positions=512)
IDLE_LIMIT_S = 10.0
PART = 500  # requests between two looks


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

    Raises: UnstableError where a request got neither its answer nor the error it should have, or a place is not freed.
    """
    engine = write_llama(folder / "engine", SMALL)
    write_llm_model(folder / "models", engine)
    begin_s = time.monotonic()
    with embedded_server(folder / "models") as server:
        target = Target(server.grpc_url, SMALL.vocab, SMALL.positions)
        _shake(target, warm_up, 0)
        wait_until_idle(server)
        before, seen = sizes(server), []
        done: dict[str, int] = {}
        with console.progress("requests", total=requests) as bar:
            for start in range(0, requests, PART):
                bar.update(start)
                for name, count in _shake(target, min(PART, requests - start), 1 + start).items():
                    done[name] = done.get(name, 0) + count
                seen.append(round(sizes(server)["rss"] / MIB, 1))
        wait_until_idle(server)
        after = sizes(server)
    return {
        "warm_up": warm_up,
        "requests": requests,
        "done": done,
        "seconds": round(time.monotonic() - begin_s),
        "rss_before_mib": round(before["rss"] / MIB, 1),
        "rss_growth_mib": round((after["rss"] - before["rss"]) / MIB, 2),
        "shm_growth_bytes": after["shm"] - before["shm"],
        "shm_regions_grown": after["regions"] - before["regions"],
        "goal": f"rss_growth_mib < {GOAL_MIB}, shm_growth_bytes 0",
        "rss_mib": seen,
    }


def sizes(server: Server) -> dict[str, int]:
    """Return the resident bytes of the server and its stubs, and the run's bytes and regions in /dev/shm."""
    run = server.prepared.view.parent
    regions = [entry for entry in SHARED_MEMORY.iterdir() if entry.name.startswith(f"{run.name}-")]
    return {
        "rss": sum(_resident_bytes(pid) for pid in run_processes(run)),
        "shm": sum(entry.stat().st_size for entry in regions),
        "regions": len(regions),
    }


def wait_until_idle(server: Server) -> None:
    """Wait until no request and no block of the KV cache is in use.

    Raises: UnstableError where something stays.
    """
    deadline_s = time.monotonic() + IDLE_LIMIT_S
    while any(in_use := gauges(server).values()):
        if time.monotonic() > deadline_s:
            raise UnstableError(f"{list(in_use)} requests and blocks are in use though nobody asks", where=MODEL)
        time.sleep(0.05)


def gauges(server: Server) -> Mapping[str, float]:
    """Return how many requests are inside, and how many blocks of the KV cache are used."""
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = ('request_type="active"', 'kv_cache_block_type="used"')
    return {label: float(line.rpartition(" ")[2]) for line in lines for label in wanted if label in line}


def _shake(target: Target, requests: int, seed: int) -> dict[str, int]:
    tally = shake(target, requests, seed=seed)
    if tally.wrong:
        raise UnstableError(f"{len(tally.wrong)} requests went wrong: {tally.wrong[0]}", where=MODEL)
    return dict(tally.done)


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
