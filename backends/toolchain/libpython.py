"""The shared libpython that Triton's Python stub is linked against: the interpreter's own, else the distribution's."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from tritonsmith.backends.toolchain.debian import unpacked_package
from tritonsmith.generator import console
from tritonsmith.generator.errors import ToolMissingError

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
    try:
        with unpacked_package(f"libpython{version}", tool_folder) as folder:
            found = next(folder.rglob(name), None)
            if found is None:
                raise ToolMissingError(f"Debian's libpython{version} does not hold {name}")
            target = fetched_folder(tool_folder) / name
            target.parent.mkdir(exist_ok=True)
            found.resolve().replace(target)
    except ToolMissingError as problem:
        raise libpython_missing(problem.message) from None
    console.say(f"fetched {target}")
    return target


def libpython_missing(reason: str) -> ToolMissingError:
    """Return the error for an interpreter without a shared library; it names Pythons that work."""
    return ToolMissingError(
        f"Triton's Python stub needs {library_name()}; {sys.executable} has none, and {reason}",
        hint="use a Python 3.10 to 3.12 with a shared library: the distribution's python3 with its libpython3 package, "
        "conda's, uv's, the python Docker image, or pyenv with PYTHON_CONFIGURE_OPTS=--enable-shared",
    )
