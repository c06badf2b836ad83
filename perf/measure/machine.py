"""What the machine is and how busy it was: a number without them cannot be compared."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

CPU_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # man 5 proc


@dataclass(frozen=True)
class Environment:
    """Where a sweep was measured; `gpus` are the models that its driver names, one by one."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    glibc: str
    python: str
    tritonsmith: str
    server: str
    perf_analyzer: str
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class CpuTicks:
    """The machine's CPU time since it started, in clock ticks by kind."""

    total: int
    idle: int
    steal: int


@dataclass(frozen=True)
class MachineLoad:
    """How busy the machine was: shares of all its CPU time, and the load average of the last minute before."""

    load_average: float
    busy_share: float
    steal_share: float


def now() -> str:
    """Return the time in UTC, ISO 8601 to the millisecond."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def read_environment(server: str, perf_analyzer: str) -> Environment:
    """Describe this machine; the two versions come from those programs themselves."""
    return Environment(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        glibc=platform.libc_ver()[1],
        python=platform.python_version(),
        tritonsmith=version("tritonsmith"),
        server=server,
        perf_analyzer=perf_analyzer,
        gpus=read_gpus(),
    )


def read_gpus(root: Path = Path("/")) -> tuple[str, ...]:
    """Return the model of each GPU, as NVIDIA's driver says below `root`. Source: NVIDIA's driver, README (procfs)."""
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))
    ]
    lines = [line for text in texts for line in text.splitlines() if "Model:" in line]
    return tuple(line.partition("Model:")[2].strip().split("  ")[0] for line in lines)


def read_cpu_ticks(path: Path = Path("/proc/stat")) -> CpuTicks:
    """Read the machine's CPU time."""
    first_line = path.read_text(encoding="ascii").splitlines()[0].split()
    ticks = dict(zip(CPU_FIELDS, map(int, first_line[1:]), strict=False))
    return CpuTicks(sum(ticks.values()), ticks["idle"] + ticks.get("iowait", 0), ticks.get("steal", 0))


def machine_load(before: CpuTicks, after: CpuTicks, load_average: float) -> MachineLoad:
    """Return how busy the machine was between two readings."""
    total = max(1, after.total - before.total)
    idle_share = (after.idle - before.idle) / total
    return MachineLoad(round(load_average, 2), round(1 - idle_share, 4), round((after.steal - before.steal) / total, 4))


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
