"""Debian's and Ubuntu's packages, unpacked into a folder of ours: nothing is installed, and root is not needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.generator.process import run


@contextmanager
def unpacked_package(package: str, tool_folder: Path) -> Iterator[Path]:
    """Yield a folder below `tool_folder` with a package's files, which is removed afterwards.

    Raises: ToolMissingError where apt is absent or does not give the package.
    """
    if not all(map(shutil.which, ("apt-get", "dpkg"))):
        raise ToolMissingError(f"there is no apt-get here to fetch {package} with")
    tool_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tool_folder, prefix="apt-") as scratch:
        found = _download(Path(scratch), package)
        unpacked = Path(scratch, "unpacked")
        done = run(["dpkg", "-x", found, unpacked], timeout_s=60)
        if done.returncode != 0:
            raise ToolMissingError(f"`dpkg -x {found.name}` failed: {done.stderr_end(3)}")
        yield unpacked


def _download(scratch: Path, package: str) -> Path:
    """Download one package with apt lists of our own, so that neither root nor the system's lists are needed."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    apt = ["apt-get", "-qq", f"-oDir::State::lists={scratch}/lists", f"-oDir::Cache={scratch}/cache"]
    apt += ["-oDebug::NoLocking=1", "-oAPT::Sandbox::User=", "-oAcquire::Languages=none"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["download", package]):
        done = run([*apt, *words], timeout_s=180, cwd=scratch, env=env)
        if done.returncode != 0:
            raise ToolMissingError(f"`apt-get {' '.join(words)}` failed: {done.stderr_end(3)}")
    found = next(scratch.glob("*.deb"), None)
    if found is None:
        raise ToolMissingError(f"`apt-get download {package}` brought nothing")
    return found
