"""What this machine is: operating system, processor, C library, GPU."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from pathlib import Path

from tritonsmith.generator.errors import ToolMissingError

# nvidia-pytriton's wheel is tagged manylinux_2_35, and pip installs it nowhere below; its tritonserver and stubs, and
# perf_analyzer 2.51, ask for 2.34 (objdump -T), so that this is never too little.
GLIBC_NEEDED = (2, 35)
ST_NOEXEC = getattr(os, "ST_NOEXEC", 8)  # Linux alone has the name; doctor runs everywhere


def require_linux_x86_64() -> None:
    """Refuse a machine on which PyPI's tritonserver cannot run.

    Raises: ToolMissingError naming what this machine is and what to use instead.
    """
    system, processor = platform.system(), platform.machine()
    if (system, processor) != ("Linux", "x86_64"):
        raise ToolMissingError(
            f"the embedded tritonserver runs on Linux x86_64; this is {system} {processor}",
            hint="use `tritonsmith serve --container` or a Linux x86_64 machine; build and check work everywhere",
        )
    version = glibc_version()
    if version is None:
        raise ToolMissingError(
            "the embedded tritonserver needs the GNU C library, which this system does not have (musl?)",
            hint="use a Debian, Ubuntu, Fedora or RHEL image instead of Alpine, or `tritonsmith serve --container`",
        )
    if version < GLIBC_NEEDED:
        raise ToolMissingError(
            f"the embedded tritonserver needs glibc {_dotted(GLIBC_NEEDED)}; this system has {_dotted(version)}",
            hint="use Debian 12, Ubuntu 22.04, RHEL 10 or newer, or `tritonsmith serve --container`",
        )


def require_executable(folder: Path) -> None:
    """Refuse a folder from which no library can be loaded: a server's private backend directory lies there.

    Raises: ToolMissingError.
    """
    if os.statvfs(folder).f_flag & ST_NOEXEC:
        raise ToolMissingError(
            f"{folder} is mounted noexec: the server cannot load its backends from there",
            hint="set TMPDIR to a folder on another file system, e.g. TMPDIR=$HOME/.cache",
        )


def glibc_version() -> tuple[int, int] | None:
    """Return the C library's version, None where it is not glibc."""
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION") or ""  # "glibc 2.36"
    except (ValueError, OSError):
        return None
    match = re.fullmatch(r"glibc (\d+)\.(\d+).*", name)
    return (int(match[1]), int(match[2])) if match else None


def gpu_count() -> int:
    """Return how many GPUs the CUDA driver shows, 0 where there is no driver.

    tritonserver counts the same way, through the CUDA runtime, which honours CUDA_VISIBLE_DEVICES too.
    """
    if not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():  # /dev/dxg: WSL
        return 0
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
