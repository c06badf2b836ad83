from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.measure.fingerprint import (
    Fingerprint,
    differences,
    fingerprint_here,
    fingerprint_of,
    require_same,
)
from tritonsmith.perf.measure.machine import Environment

MACHINE = Environment("Some CPU", 2, 8 << 30, "6.1", "2.36", "3.11.7", "0.1.0", "2.51.0", "2.51.0")
HERE = fingerprint_of(MACHINE)


def test_the_same_machine_is_the_same() -> None:
    assert differences(HERE, fingerprint_of(replace(MACHINE, tritonsmith="0.2.0"))) == ()
    require_same(HERE, fingerprint_of(replace(MACHINE, memory_bytes=MACHINE.memory_bytes - 4096)), where="gate.json")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(HERE, cores=8), "cores: 8 there, 2 here"),
        (replace(HERE, server="2.52.0"), "server: 2.52.0 there, 2.51.0 here"),
        (replace(HERE, gpus=("H200", "H200")), "gpus: H200, H200 there, none here"),
        (replace(HERE, governor="powersave"), "governor: powersave there, none here"),
        (replace(HERE, cpu_quota=1.5), "cpu quota: 1.5 there, 0 here"),
    ],
)
def test_a_baseline_of_another_machine_is_refused_by_name(other: Fingerprint, said: str) -> None:
    with pytest.raises(UnstableError, match=said) as problem:
        require_same(other, HERE, where="gate.json")
    assert problem.value.where == "gate.json"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, 0.0),
        ({"cpu.max": "max 100000"}, 0.0),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 0.0),
    ],
)
def test_a_container_s_limit_is_read_from_its_control_group(
    files: dict[str, str], quota: float, tmp_path: Path
) -> None:
    for name, text in files.items():
        write(tmp_path / "sys/fs/cgroup" / name, f"{text}\n")
    assert fingerprint_here(MACHINE, tmp_path).cpu_quota == quota


def test_governor_gpus_and_driver_are_read_where_the_kernel_has_them(tmp_path: Path) -> None:
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    for bus in ("0000:01", "0000:02"):
        write(tmp_path / f"proc/driver/nvidia/gpus/{bus}/information", "Model: \t\t NVIDIA H200\nIRQ: 5\n")
    write(tmp_path / "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54  Tue\n")
    here = fingerprint_here(MACHINE, tmp_path)
    assert (here.governor, here.gpus) == ("performance", ("NVIDIA H200", "NVIDIA H200"))
    assert "550.54" in here.driver
