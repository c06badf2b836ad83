from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tritonsmith.backends.toolchain import find as toolchain
from tritonsmith.backends.toolchain import libpython, machine, perf_analyzer
from tritonsmith.generator.errors import ToolMissingError


def test_the_interpreters_own_folders_come_first() -> None:
    found = toolchain.find_toolchain()
    environment = found.environment()
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert environment["LD_LIBRARY_PATH"].split(os.pathsep)[:2] == [
        str(found.libpython.parent),
        str(found.wheel_libraries),
    ]
    assert found.libpython.name == f"libpython3.{sys.version_info[1]}.so.1.0"


def test_perf_analyzer_is_missing_until_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONSMITH_HOME", str(tmp_path))
    with pytest.raises(ToolMissingError) as caught:
        toolchain.require_perf_analyzer()
    assert caught.value.hint == "run `tritonsmith doctor --install`"


def test_perf_analyzer_finds_its_own_libraries_before_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONSMITH_HOME", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda")
    folders = toolchain.perf_analyzer_environment()["LD_LIBRARY_PATH"].split(os.pathsep)
    assert folders == [str(tmp_path / "perf_analyzer-2.51.0" / "lib"), "/opt/cuda"]


@pytest.mark.slow
def test_perf_analyzer_is_installed_whole_or_not_at_all_and_runs(tmp_path: Path) -> None:
    libraries = toolchain.find_toolchain().wheel_libraries
    with pytest.raises(ToolMissingError, match="has no libb64"):
        perf_analyzer.install_perf_analyzer(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
    binary = perf_analyzer.install_perf_analyzer(tmp_path, libraries)
    environment = {"LD_LIBRARY_PATH": str(perf_analyzer.library_folder(tmp_path)), "PATH": ""}
    done = subprocess.run([binary, "--version"], env=environment, capture_output=True, text=True, check=True)
    assert "2.51.0" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["perf_analyzer-2.51.0"]
    before = binary.stat()
    assert perf_analyzer.install_perf_analyzer(tmp_path, Path("/nowhere")) == binary  # at once, nothing is looked at
    assert binary.stat() == before


@pytest.mark.parametrize(
    ("system", "processor", "glibc", "reason"),
    [
        ("Darwin", "arm64", (2, 36), "this is Darwin arm64"),
        ("Linux", "aarch64", (2, 36), "this is Linux aarch64"),
        ("Linux", "x86_64", None, "GNU C library"),
        ("Linux", "x86_64", (2, 31), "needs glibc 2.35; this system has 2.31"),
        ("Linux", "x86_64", (2, 34), "needs glibc 2.35; this system has 2.34"),
    ],
)
def test_a_machine_that_cannot_run_the_server_is_told_why(
    system: str, processor: str, glibc: tuple[int, int] | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: processor)
    monkeypatch.setattr(machine, "glibc_version", lambda: glibc)
    with pytest.raises(ToolMissingError) as caught:
        machine.require_linux_x86_64()
    assert reason in caught.value.message
    assert "--container" in caught.value.hint


def test_glibc_is_at_least_what_the_binaries_ask_for() -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not installed")
    found = toolchain.find_toolchain()
    asked = set()
    for binary in (found.tritonserver, found.python_stub, found.python_backend / "libtriton_python.so"):
        symbols = subprocess.run([objdump, "-T", binary], capture_output=True, text=True, check=True).stdout
        asked |= {word.strip("()").removeprefix("GLIBC_") for word in symbols.split() if "GLIBC_2" in word}
    assert max(tuple(map(int, version.split(".")[:2])) for version in asked) <= machine.GLIBC_NEEDED


def test_the_glibc_asked_for_is_the_one_below_which_pip_refuses_the_wheel() -> None:
    wheel = importlib.metadata.distribution(toolchain.SERVER_PACKAGE).read_text("WHEEL") or ""
    assert re.findall(r"manylinux_(\d+)_(\d+)_x86_64", wheel) == [tuple(map(str, machine.GLIBC_NEEDED))]
    root = Path(__file__).parents[3]
    major, minor = machine.GLIBC_NEEDED
    assert f"GLIBC = {machine.GLIBC_NEEDED}" in (root / ".ci" / "prepare.py").read_text()
    assert f"glibc {major}.{minor}" in (root / "README.md").read_text()


def test_python_versions_without_a_stub_or_numpy_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    with pytest.raises(ToolMissingError, match=r"3.10 to 3.12"):
        toolchain.require_python()


@pytest.mark.parametrize(("version", "is_refused"), [("1.26.4", False), ("2.0.0", True), ("2.3.1", True)])
def test_numpy_2_is_refused(version: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda package: version)
    if is_refused:
        with pytest.raises(ToolMissingError, match="empty tensors"):
            toolchain.require_numpy_below_2()
    else:
        toolchain.require_numpy_below_2()


def test_libpython_is_looked_for_where_it_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpython, "library_name", lambda: "libpython3.99.so.1.0")
    assert libpython.find_libpython(tmp_path) is None
    fetched = libpython.fetched_folder(tmp_path) / "libpython3.99.so.1.0"
    fetched.parent.mkdir()
    fetched.touch()
    assert libpython.find_libpython(tmp_path) == fetched


def test_where_libpython_cannot_be_fetched_a_python_that_works_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError) as caught:
        libpython.fetch_libpython(tmp_path)
    assert "no apt-get" in caught.value.message
    assert "--enable-shared" in caught.value.hint
