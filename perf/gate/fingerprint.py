"""What a machine is, as far as numbers measured on it depend on that: a stored baseline holds on the same only."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.machine import Environment


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
    gpus: tuple[str, ...] = (),
    driver: str = "",
) -> Fingerprint:
    """Return the fingerprint of a machine whose environment was read."""
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
        gpus=gpus,
        driver=driver,
    )


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

    Raises: UsageError that names what differs.
    """
    different = differences(stored, here)
    if different:
        raise UsageError(
            f"the stored baseline was measured elsewhere: {'; '.join(different)}",
            where=where,
            hint="measure both sides here: --baseline REPOSITORY, or a git revision",
        )


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
