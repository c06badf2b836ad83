"""The shared libpython that Triton's Python stub is linked against: the interpreter's own, else the distribution's."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.generator.process import run

SUPPORTED = ((3, 10), (3, 11), (3, 12))  # stubs exist for 3.8 to 3.13, but 3.13 has no numpy < 2


def library_name(version: tuple[int, int] = sys.version_info[:2]) -> str:
    """Return the soname that the stub of this Python version asks for."""
    return f"libpython{version[0]}.{version[1]}.so.1.0"


def find_libpython(tool_folder: Path) -> Path | None:
    """Return this interpreter's shared library, else the system's, else the one fetched before, else None."""
    name = library_name()
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    folders = [
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        Path(sys.base_prefix, "lib"),  # relocated builds (uv): LIBDIR still names the builder's folder
        Path("/usr/lib", multiarch),
        Path("/usr/lib64"),
        Path("/usr/local/lib"),
        fetched_folder(tool_folder),
    ]
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def fetched_folder(tool_folder: Path) -> Path:
    """Return where `fetch_libpython` puts the library."""
    return tool_folder / "libpython"


def fetch_libpython(tool_folder: Path) -> Path:
    """Take libpython out of Debian's or Ubuntu's package, without root, and return its path.

    Raises: ToolMissingError where apt is absent or has no package for this Python version.
    """
    name, version = library_name(), f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not all(map(shutil.which, ("apt-get", "dpkg"))):
        raise libpython_missing("there is no apt-get here to fetch it with")
    tool_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tool_folder, prefix="apt-") as scratch:
        package = _download_package(Path(scratch), f"libpython{version}")
        unpacked = Path(scratch, "unpacked")
        done = run(["dpkg", "-x", package, unpacked], timeout_s=60)
        found = next(unpacked.rglob(name), None)
        if done.returncode != 0 or found is None:
            raise libpython_missing(f"{package.name} does not hold {name}")
        target = fetched_folder(tool_folder) / name
        target.parent.mkdir(exist_ok=True)
        found.resolve().replace(target)
    console.say(f"fetched {target}")
    return target


def libpython_missing(reason: str) -> ToolMissingError:
    """Return the error for an interpreter without a shared library; it names Pythons that work."""
    return ToolMissingError(
        f"Triton's Python stub needs {library_name()}; {sys.executable} has none, and {reason}",
        hint="use a Python 3.10 to 3.12 with a shared library: the distribution's python3 with its libpython3 package, "
        "conda's, uv's, the python Docker image, or pyenv with PYTHON_CONFIGURE_OPTS=--enable-shared",
    )


def _download_package(scratch: Path, package: str) -> Path:
    """Download one package with apt lists of our own, so that neither root nor the system's lists are needed."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    apt = ["apt-get", "-qq", f"-oDir::State::lists={scratch}/lists", f"-oDir::Cache={scratch}/cache"]
    apt += ["-oDebug::NoLocking=1", "-oAPT::Sandbox::User=", "-oAcquire::Languages=none"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["download", package]):
        done = run([*apt, *words], timeout_s=180, cwd=scratch, env=env)
        if done.returncode != 0:
            raise libpython_missing(f"`apt-get {' '.join(words)}` failed: {done.stderr_end(3)}")
    found = next(scratch.glob("*.deb"), None)
    if found is None:
        raise libpython_missing(f"`apt-get download {package}` brought nothing")
    return found
