"""Prometheus and promtool, which prove our rules: on the PATH, else out of the distribution's package."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends.toolchain.debian import unpacked_package
from tritonsmith.generator import console
from tritonsmith.generator.errors import ToolMissingError

PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")


@dataclass(frozen=True)
class Prometheus:
    """The two programs."""

    server: Path
    promtool: Path


def find_prometheus(tool_folder: Path) -> Prometheus | None:
    """Return the programs, None where one is missing."""
    fetched = fetched_folder(tool_folder)
    found = [shutil.which(name) or shutil.which(fetched / name) for name in PROGRAMS]
    server, promtool = found
    return Prometheus(Path(server), Path(promtool)) if server and promtool else None


def fetched_folder(tool_folder: Path) -> Path:
    """Return where `fetch_prometheus` puts the programs."""
    return tool_folder / "prometheus"


def fetch_prometheus(tool_folder: Path) -> Prometheus:
    """Take the programs out of the distribution's package, without root; at once where they are there already.

    Raises: ToolMissingError where apt is absent or does not give the package.
    """
    if found := find_prometheus(tool_folder):
        return found
    with unpacked_package(PACKAGE, tool_folder) as folder:
        fetched_folder(tool_folder).mkdir(exist_ok=True)
        for name in PROGRAMS:
            Path(folder, "usr/bin", name).replace(fetched_folder(tool_folder) / name)
    found = find_prometheus(tool_folder)
    if found is None:
        raise ToolMissingError(f"Debian's package {PACKAGE} holds no programs")
    console.say(f"fetched {found.server} and promtool")
    return found
