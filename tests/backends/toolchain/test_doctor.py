from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.toolchain.doctor import Tool, as_json, examine, report, require, temporary_folder_check
from tritonsmith.generator.errors import ToolMissingError

THERE = Tool("python", True, "3.11", is_needed=True)
LACKING = Tool("tritonserver", False, "not installed", "run x", is_needed=True)
OPTIONAL = Tool("docker", False, "only for containers", "install it")


def test_every_tool_is_examined_and_says_something() -> None:
    tools = examine()
    assert [tool.name for tool in tools][:3] == ["platform", "python", "tritonserver"]
    assert {"libpython", "numpy < 2", "onnxruntime", "perf_analyzer", "docker", "gpu", "chromium"} <= {
        tool.name for tool in tools
    }
    assert all(tool.state for tool in tools)
    assert all(tool.remedy for tool in tools if tool.is_needed and not tool.is_there)


def test_the_table_says_what_is_missing_and_how_to_get_it() -> None:
    assert report([THERE, LACKING, OPTIONAL]).splitlines() == [
        "python        yes      3.11",
        "tritonserver  MISSING  not installed",
        "docker        no       only for containers",
        "",
        "tritonserver: run x",
        "docker: install it",
    ]
    assert as_json([THERE])[0]["is_there"] is True


def test_only_what_is_needed_ends_in_status_5() -> None:
    require([THERE, OPTIONAL])
    with pytest.raises(ToolMissingError, match="missing for the embedded server: tritonserver") as caught:
        require([THERE, LACKING, OPTIONAL])
    assert caught.value.hint == "run x"
    assert caught.value.exit_code == 5


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """A folder that is mounted noexec."""
    (tmp_path / "noexec").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(tmp_path / "noexec")]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this test mounts, which needs root")
    try:
        yield tmp_path / "noexec"
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "noexec")], check=True)


def test_a_temporary_folder_that_is_mounted_noexec_is_found_out_before_a_start(
    noexec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert temporary_folder_check().is_there
    monkeypatch.setattr(tempfile, "tempdir", str(noexec))
    found = temporary_folder_check()
    assert (found.is_there, found.is_needed, "TMPDIR" in found.remedy) == (False, True, True)
    with pytest.raises(ToolMissingError, match="mounted noexec"), embedded_server(noexec):
        pass
    assert os.listdir(noexec) == []  # noqa: PTH208
