from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.server.adapt import Host
from tritonsmith.backends.server.loading import LoadSite, failure, load_models, next_step, startable
from tritonsmith.backends.server.prepare import Prepared
from tritonsmith.generator.errors import ServerError

NEEDED = {"a": (), "b": ("a",), "c": ("a", "absent"), "d": ("b", "c"), "x": ("y",), "y": ("x",)}
RAISED = "ValueError: no weights\n\nAt:\n  /r/m/1/model.py(4): initialize\n"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for the server while the loads, which are ours, run."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running


def prepared(view: Path, config: str = 'backend: "python"', **refused: str) -> Prepared:
    parsed = text_format.Parse(config, ModelConfig())
    names = ("m", *refused)
    needed: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())
    host = Host(0, frozenset(), "24.10")
    return Prepared(Path("/r"), view, host, dict.fromkeys(names, parsed), {}, refused, names, needed, ())


def loaded(load: Callable[[str], None], tmp_path: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    (tmp_path / "log").touch()
    return load_models(prepared(tmp_path), LoadSite(process, tmp_path / "log", load, limit_s=5.0, width=1))


def test_a_model_waits_for_those_that_it_needs() -> None:
    assert startable(["a", "b", "c", "d"], [], NEEDED) == ["a"]
    assert startable(["b", "c", "d"], ["a"], NEEDED) == []
    assert startable(["b", "c", "d"], [], NEEDED) == ["b", "c"]
    assert startable(["d"], ["c"], NEEDED) == []


def test_models_that_wait_for_each_other_are_tried_all_the_same() -> None:
    assert startable(["x", "y"], [], NEEDED) == ["x"]
    assert startable(["x", "y"], ["a"], NEEDED) == []
    assert startable([], [], NEEDED) == []


def test_whatever_else_a_load_raises_reaches_the_caller_as_it_is(
    tmp_path: Path, process: subprocess.Popen[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    def load(_name: str) -> None:
        raise OverflowError("timeout doesn't fit into C timeval")

    with pytest.raises(OverflowError, match="C timeval"):
        loaded(load, tmp_path, process)
    assert "Traceback" not in capfd.readouterr().err


def test_a_load_without_an_answer_in_time_is_told_from_one_that_fails(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    def hangs(_name: str) -> None:
        raise ServerError("did not answer") from TimeoutError()

    def fails(_name: str) -> None:
        raise ServerError("load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: no memory; ")

    with pytest.raises(ServerError, match="did not load within 5 s"):
        loaded(hangs, tmp_path, process)
    assert loaded(fails, tmp_path, process) == {"m": "no memory"}


def test_the_next_step_fits_the_cause(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert "tritonsmith check /r" in next_step("m", "unexpected directory name 'm'", prepared(tmp_path))
    assert "its own code" in next_step("m", RAISED, prepared(tmp_path))
    assert "tritonsmith check" in next_step("m", RAISED, prepared(tmp_path, 'backend: "onnxruntime"'))
    absent = next_step("m", "ModuleNotFoundError: No module named 'torch.nn'\n\nAt:\n", prepared(tmp_path))
    assert "'torch'" in absent
    assert sys.executable in absent


def test_a_refused_model_says_its_way_out_itself(tmp_path: Path) -> None:
    plan = prepared(tmp_path, plan="needs NVIDIA's container: tritonsmith serve --container")
    failed = {**plan.refused, "m": "not tried, because 'plan' did not load"}
    assert failure(failed, plan).hint == ""
