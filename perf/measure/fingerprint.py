"""What a machine is, as far as numbers measured on it depend on that: a stored baseline holds on the same only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.measure.machine import Environment, read_gpus


@dataclass(frozen=True)
class Fingerprint:
    """What has to be the same. `memory_gib` is rounded: a kernel takes a little more or less of it for itself.

    `governor` is the CPU's frequency governor, `cpu_quota` the cores that the control group allows; empty and 0 where
    there is none. `gpus` and `driver` are empty without GPUs.
    """

    cpu: str
    cores: int
    memory_gib: int
    kernel: str
    glibc: str
    python: str
    server: str
    perf_analyzer: str
    governor: str = ""
    cpu_quota: float = 0.0
    gpus: tuple[str, ...] = ()
    driver: str = ""


def fingerprint_of(
    environment: Environment,
    *,
    governor: str = "",
    cpu_quota: float = 0.0,
    gpus: tuple[str, ...] | None = None,
    driver: str = "",
) -> Fingerprint:
    """Return the fingerprint of a machine whose environment was read; its GPUs are the environment's by default."""
    return Fingerprint(
        cpu=environment.cpu,
        cores=environment.cores,
        memory_gib=round(environment.memory_bytes / 2**30),
        kernel=environment.kernel,
        glibc=environment.glibc,
        python=environment.python,
        server=environment.server,
        perf_analyzer=environment.perf_analyzer,
        governor=governor,
        cpu_quota=cpu_quota,
        gpus=environment.gpus if gpus is None else gpus,
        driver=driver,
    )


def fingerprint_here(environment: Environment, root: Path = Path("/")) -> Fingerprint:
    """Return the fingerprint of this machine: what the kernel says of limits, governor and GPUs is read below `root`.

    Source: Linux, admin-guide: cgroup-v2 (cpu.max), cgroup-v1 (cpu.cfs_quota_us), cpufreq; NVIDIA's driver, README.
    """
    return fingerprint_of(
        environment,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cpu_quota=_cpu_quota(root / "sys/fs/cgroup"),
        gpus=read_gpus(root),
        driver=_after(root / "proc/driver/nvidia/version", "Kernel Module"),
    )


def _cpu_quota(cgroup: Path) -> float:
    """Return how many cores the control group allows; 0 where it allows all."""
    limit = _text(cgroup / "cpu.max").split()
    if not limit:
        limit = [_text(cgroup / f"cpu/cpu.cfs_{name}_us") or "max" for name in ("quota", "period")]
    if len(limit) != 2 or not all(word.isdigit() for word in limit) or not int(limit[1]):
        return 0.0
    return round(int(limit[0]) / int(limit[1]), 2)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _after(path: Path, word: str) -> str:
    """Return what follows a word in its line of a file; empty where there is none."""
    found = [line.partition(word)[2].strip().split("  ")[0] for line in _text(path).splitlines() if word in line]
    return found[0] if found else ""


def differences(stored: Fingerprint, here: Fingerprint) -> tuple[str, ...]:
    """Return what differs, in words: "cores: 8 there, 2 here"."""
    pairs = ((field.name, getattr(stored, field.name), getattr(here, field.name)) for field in fields(Fingerprint))
    return tuple(
        f"{name.replace('_', ' ')}: {_words(there)} there, {_words(ours)} here"
        for name, there, ours in pairs
        if there != ours
    )


def require_same(stored: Fingerprint, here: Fingerprint, *, where: str) -> None:
    """Refuse a baseline that was measured on another machine, or on this one with another server.

    Raises: UnstableError that names what differs: neither yes nor no can be said here.
    """
    different = differences(stored, here)
    if different:
        raise UnstableError(
            f"the stored baseline was measured elsewhere: {'; '.join(different)}",
            where=where,
            hint="measure both sides here: --baseline REPOSITORY, or a git revision",
        )


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
