from __future__ import annotations

import pytest

from tritonsmith.backends.toolchain.doctor import Tool, as_json, examine, report, require
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
