"""The tools that serve and measure on this machine: tritonserver, its Python stub, their libraries, perf_analyzer."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends.toolchain import libpython, machine, perf_analyzer
from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.generator.home import home_folder

SERVER_PACKAGE, SERVER_PACKAGE_VERSION = "nvidia-pytriton", "0.7.0"
SERVER_VERSION, SERVER_RELEASE = "2.51.0", "24.10"
INSTALL_SERVER = "pip install 'tritonsmith[embedded]'"
INSTALL_TOOLS = "tritonsmith doctor --install"


@dataclass(frozen=True)
class Toolchain:
    """Where each of the embedded server's tools lies."""

    tritonserver: Path
    python_backend: Path  # the folder with libtriton_python.so and triton_python_backend_utils.py
    python_stub: Path
    cache_folder: Path  # caches/, with local/libtritoncache_local.so in it
    wheel_libraries: Path
    libpython: Path

    @property
    def library_path(self) -> tuple[Path, ...]:
        """The folders for LD_LIBRARY_PATH: this Python's own libpython before any other."""
        return (self.libpython.parent, self.wheel_libraries)

    def environment(self) -> dict[str, str]:
        """Return the environment for tritonserver.

        The stub runs Python isolated (PYTHONPATH is ignored) and takes the first `python3` on PATH to find what
        models can import, so this interpreter's folder comes first.
        """
        env = dict(os.environ)
        env["PATH"] = _joined(Path(sys.executable).parent, before=env.get("PATH"))
        env["LD_LIBRARY_PATH"] = _joined(*self.library_path, before=env.get("LD_LIBRARY_PATH"))
        return env


def find_toolchain() -> Toolchain:
    """Find the tools of the embedded server.

    Raises: ToolMissingError for the first that is missing, with how to get it.
    """
    machine.require_linux_x86_64()
    require_python()
    site = server_site()
    require_numpy_below_2()
    server = site / "pytriton" / "tritonserver"
    library = libpython.find_libpython(home_folder())
    if library is None:
        raise libpython.libpython_missing(f"none was fetched yet: run `{INSTALL_TOOLS}`")
    stub = server / "python_backend_stubs" / f"3.{sys.version_info[1]}" / "triton_python_backend_stub"
    found = Toolchain(
        tritonserver=server / "bin" / "tritonserver",
        python_backend=server / "backends" / "python",
        python_stub=stub,
        cache_folder=server / "caches",
        wheel_libraries=site / "nvidia_pytriton.libs",
        libpython=library,
    )
    for path in (found.tritonserver, found.python_backend / "libtriton_python.so", stub, found.wheel_libraries):
        if not path.exists():
            raise ToolMissingError(
                f"{SERVER_PACKAGE} {SERVER_PACKAGE_VERSION} is installed, but {path} is not there",
                hint=f"pip install --force-reinstall {SERVER_PACKAGE}=={SERVER_PACKAGE_VERSION}",
            )
    return found


def require_perf_analyzer() -> Path:
    """Return the installed perf_analyzer; measuring a server elsewhere needs no other tool.

    Raises: ToolMissingError where it is not installed.
    """
    folder = home_folder()
    found = perf_analyzer.find_perf_analyzer(folder)
    if found is None:
        raise ToolMissingError(f"perf_analyzer is not in {folder}", hint=f"run `{INSTALL_TOOLS}`")
    return found


def perf_analyzer_environment() -> dict[str, str]:
    """Return the environment for perf_analyzer: its own libraries before any other."""
    folder = perf_analyzer.library_folder(home_folder())
    return {**os.environ, "LD_LIBRARY_PATH": _joined(folder, before=os.environ.get("LD_LIBRARY_PATH"))}


def require_python() -> None:
    """Refuse a Python for which there is no stub or no numpy below 2.

    Raises: ToolMissingError.
    """
    if sys.version_info[:2] not in libpython.SUPPORTED:
        raise ToolMissingError(
            f"the embedded server's Python backend works with Python 3.10 to 3.12; this is {sys.version.split()[0]}",
            hint="make the virtual environment with python3.12, python3.11 or python3.10",
        )


def server_site() -> Path:
    """Return the site-packages folder in which nvidia-pytriton lies.

    Raises: ToolMissingError where it is not installed, or in another version.
    """
    try:
        package = importlib.metadata.distribution(SERVER_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ToolMissingError(
            f"tritonserver is not installed for {sys.executable}", hint=f"run `{INSTALL_SERVER}`"
        ) from None
    if package.version != SERVER_PACKAGE_VERSION:
        raise ToolMissingError(
            f"{SERVER_PACKAGE} is {package.version}; the embedded server is tried with {SERVER_PACKAGE_VERSION}",
            hint=f"run `pip install {SERVER_PACKAGE}=={SERVER_PACKAGE_VERSION}`",
        )
    return Path(str(package.locate_file("")))


def require_numpy_below_2() -> None:
    """Refuse numpy 2, with which the stub of 2.51 silently hands empty tensors to Python models.

    Raises: ToolMissingError.
    """
    try:
        version = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        raise ToolMissingError("numpy is not installed", hint=f"run `{INSTALL_SERVER}`") from None
    if int(version.split(".")[0]) >= 2:
        raise ToolMissingError(
            f"numpy is {version}; with numpy 2 the embedded server hands empty tensors to Python models",
            hint="run `pip install 'numpy<2'`",
        )


def _joined(*folders: Path, before: str | None) -> str:
    return os.pathsep.join([*map(str, folders), *([before] if before else [])])
