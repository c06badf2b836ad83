"""What this machine has and lacks, one small check each, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tritonsmith.backends.toolchain import find as toolchain
from tritonsmith.backends.toolchain import libpython, machine, perf_analyzer, prometheus
from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.generator.home import home_folder
from tritonsmith.generator.process import run


@dataclass(frozen=True)
class Tool:
    """One thing that was looked for: `state` is its version or place, or why it is missing; `remedy` how to get it."""

    name: str
    is_there: bool
    state: str
    remedy: str = ""
    is_needed: bool = False  # by the embedded server, or to measure on it


def examine() -> list[Tool]:
    """Run every check."""
    return [check() for check in CHECKS]


def install() -> None:
    """Complete the tools that can be installed without root: libpython where it is missing, and perf_analyzer.

    Raises: ToolMissingError where something cannot be had.
    """
    machine.require_linux_x86_64()
    toolchain.require_python()
    site, folder = toolchain.server_site(), home_folder()
    if libpython.find_libpython(folder) is None:
        libpython.fetch_libpython(folder)
    perf_analyzer.install_perf_analyzer(folder, site / "nvidia_pytriton.libs")


def report(tools: list[Tool]) -> str:
    """Return the table of tools, and below it how to get each that is missing."""
    rows = [
        (tool.name, "yes" if tool.is_there else "MISSING" if tool.is_needed else "no", tool.state) for tool in tools
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {there:{widths[1]}}  {state}" for name, there, state in rows]
    remedies = [f"{tool.name}: {tool.remedy}" for tool in tools if not tool.is_there and tool.remedy]
    return "\n".join([*lines, *(["", *remedies] if remedies else [])])


def as_json(tools: list[Tool]) -> list[dict[str, Any]]:
    """Return the tools as data."""
    return [asdict(tool) for tool in tools]


def require(tools: list[Tool]) -> None:
    """Refuse a machine that lacks what the embedded server needs.

    Raises: ToolMissingError naming all that is missing.
    """
    missing = [tool for tool in tools if tool.is_needed and not tool.is_there]
    if missing:
        raise ToolMissingError(
            f"missing for the embedded server: {', '.join(tool.name for tool in missing)}",
            hint="; ".join(dict.fromkeys(tool.remedy for tool in missing)),
        )


def platform_check() -> Tool:
    """Linux x86_64 with a C library that is new enough."""
    version = machine.glibc_version()
    state = f"{platform.system()} {platform.machine()}, " + (
        f"glibc {version[0]}.{version[1]}" if version else "no glibc"
    )
    return _needed("platform", machine.require_linux_x86_64, state)


def python_check() -> Tool:
    """A Python for which there is a stub."""
    return _needed("python", toolchain.require_python, f"{platform.python_version()} {sys.executable}")


def tritonserver_check() -> Tool:
    """tritonserver, from PyPI."""
    return _needed(
        "tritonserver", toolchain.server_site, f"{toolchain.SERVER_VERSION} (release {toolchain.SERVER_RELEASE})"
    )


def numpy_check() -> Tool:
    """An old enough numpy."""
    return _needed("numpy < 2", toolchain.require_numpy_below_2, _version("numpy") or "")


def libpython_check() -> Tool:
    """The shared libpython of this Python version."""
    found = libpython.find_libpython(home_folder())
    remedy = f"run `{toolchain.INSTALL_TOOLS}`, or use a Python that has one"
    return Tool("libpython", found is not None, str(found or libpython.library_name()), remedy, is_needed=True)


def perf_analyzer_check() -> Tool:
    """perf_analyzer, in our tool folder."""
    folder = home_folder()
    found = perf_analyzer.find_perf_analyzer(folder)
    state = str(found or f"not in {folder}")
    return Tool("perf_analyzer", found is not None, state, f"run `{toolchain.INSTALL_TOOLS}`", is_needed=True)


def onnxruntime_check() -> Tool:
    """ONNX Runtime, which our Python-based backend runs on."""
    found = _version("onnxruntime") or _version("onnxruntime-gpu")
    return Tool(
        "onnxruntime", bool(found), found or "for models with ONNX files", f"run `{toolchain.INSTALL_SERVER}`", True
    )


def docker_check() -> Tool:
    """Docker with a daemon that answers, for `serve --container`."""
    program = shutil.which("docker")
    if program is None:
        return Tool("docker", False, "only for `serve --container`", "https://docs.docker.com/engine/install/")
    done = run([program, "info", "--format", "{{.ServerVersion}}"], timeout_s=5, is_shown=False)
    if done.returncode == 0 and done.stdout.strip():
        return Tool("docker", True, f"{done.stdout.strip()} {program}")
    return Tool("docker", False, f"{program}, but no daemon answers", "start it: `sudo systemctl start docker`")


def gpu_check() -> Tool:
    """NVIDIA GPUs."""
    count = machine.gpu_count()
    return Tool("gpu", count > 0, f"{count} NVIDIA GPU(s)" if count else "none: KIND_GPU groups are served as KIND_CPU")


def chromium_check() -> Tool:
    """A browser, for the tests that look at reports."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return Tool("chromium", found is not None, found or "only for the tests marked browser", "apt-get install chromium")


def prometheus_check() -> Tool:
    """Prometheus, for the tests of the rules that `deploy --kubernetes` writes."""
    found = prometheus.find_prometheus(home_folder())
    state = str(found.server) if found else "only for tests of what `deploy --kubernetes` writes"
    return Tool("prometheus", found is not None, state, "apt-get install prometheus, or `make bench-scaling`")


def shared_memory_check() -> Tool:
    """Enough shared memory: each instance of a Python model takes at least 1 MiB of /dev/shm (Docker gives 64 MiB)."""
    try:
        free_mib = shutil.disk_usage("/dev/shm").free >> 20  # noqa: S108
    except OSError:
        free_mib = 0
    is_enough = free_mib >= 32 and os.access("/dev/shm", os.W_OK)  # noqa: S108
    return Tool("shared memory", is_enough, f"{free_mib} MiB free", "in Docker: --shm-size=1g", is_needed=True)


def temporary_folder_check() -> Tool:
    """A temporary folder from which libraries can be loaded."""
    folder = Path(tempfile.gettempdir())
    return _needed("temp folder", lambda: machine.require_executable(folder), str(folder))


CHECKS: tuple[Callable[[], Tool], ...] = (
    platform_check,
    python_check,
    tritonserver_check,
    libpython_check,
    numpy_check,
    shared_memory_check,
    temporary_folder_check,
    onnxruntime_check,
    perf_analyzer_check,
    gpu_check,
    docker_check,
    chromium_check,
    prometheus_check,
)


def _needed(name: str, requirement: Callable[[], object], state: str) -> Tool:
    """Return a tool that is there if its requirement raises nothing."""
    try:
        requirement()
    except ToolMissingError as problem:
        return Tool(name, False, problem.message, problem.hint, is_needed=True)
    return Tool(name, True, state, is_needed=True)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
