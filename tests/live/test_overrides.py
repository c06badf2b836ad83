"""Overrides on a server that another process started: undone by us, or by the next command after a kill."""

import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.configs import as_json, as_submitted
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.server.leftovers import STUB, run_processes
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.overrides import overrides
from tritonsmith.perf.served import read_configs
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.undoing import running_target, undo_leftovers, undoing_path

pytestmark = [pytest.mark.live, pytest.mark.slow]
CHANGE_AND_WAIT = """
import sys, time
from tritonsmith.perf.overrides import overrides
from tritonsmith.perf.served import read_configs
from tritonsmith.perf.target import Target
target = Target(sys.argv[1], "127.0.0.1:1")
with overrides(target, read_configs(target.control, "doubling")) as changes:
    changed = type(changes.base["doubling"]).FromString(changes.base["doubling"].SerializeToString())
    changed.dynamic_batching.max_queue_delay_microseconds = 700
    changes.bring({"doubling": changed})
    time.sleep(60)
"""
GROUP = "instance_group [{ kind: KIND_CPU count: 1 }]"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Iterator[str]:
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "doubling", config=f"dynamic_batching {{}} {GROUP}")
    with embedded_server(repository) as server:
        yield server.http_url


@pytest.fixture
def target(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("TRITONSMITH_HOME", str(tmp_path))
    return Target(url, "127.0.0.1:1")


def with_delay(config: ModelConfig, delay_us: int, count: int = 1) -> ModelConfig:
    changed = ModelConfig()
    changed.CopyFrom(config)
    changed.dynamic_batching.max_queue_delay_microseconds = delay_us
    changed.instance_group[0].count = count
    return changed


def delay_of(control: Control) -> int:
    return as_submitted(control.config("doubling")).dynamic_batching.max_queue_delay_microseconds


@pytest.fixture
def killed(target: Target) -> None:
    """A command that is killed after it changed the server."""
    process = subprocess.Popen([sys.executable, "-c", CHANGE_AND_WAIT, target.http_url])
    deadline_s = time.monotonic() + 20
    while delay_of(target.control) != 700 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert delay_of(target.control) == 700
    with pytest.raises(UsageError, match="another command is changing"):
        undo_leftovers(target)
    process.kill()
    process.wait()


def test_afterwards_the_server_serves_what_it_did_and_nothing_is_written_down(target: Target) -> None:
    before = target.control.config("doubling")
    with overrides(target, read_configs(target.control, "doubling")) as changes:
        assert changes.bring({"doubling": with_delay(changes.base["doubling"], 300)})
        assert delay_of(target.control) == 300
        assert stat.S_IMODE(undoing_path(target).stat().st_mode) == 0o600
        assert stat.S_IMODE(undoing_path(target).parent.stat().st_mode) == 0o700
        assert not changes.bring({"doubling": with_delay(changes.base["doubling"], 300)})
    assert target.control.config("doubling") == before
    assert not undoing_path(target).exists()


@pytest.mark.usefixtures("killed")
def test_what_a_killed_command_changed_is_undone_by_the_next_which_says_so(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    running_target(target.http_url, target.grpc_url)
    assert delay_of(target.control) == 0
    assert "'doubling' is served as before an earlier command" in capsys.readouterr().err
    assert not undoing_path(target).exists()


@pytest.mark.usefixtures("killed")
def test_what_somebody_else_loaded_meanwhile_is_left_alone(target: Target) -> None:
    before = target.control.config("doubling")
    target.control.load("doubling", as_json(with_delay(as_submitted(before), 900)), timeout_s=20)
    undo_leftovers(target)
    assert delay_of(target.control) == 900
    assert not undoing_path(target).exists()
    target.control.load("doubling", as_json(with_delay(as_submitted(before), 0)), timeout_s=20)


def test_a_fresh_generation_starts_processes_anew(tmp_path: Path, write_model: Callable[..., Path]) -> None:
    write_model(tmp_path, "doubling", config=f"dynamic_batching {{}} {GROUP}")
    with embedded_server(tmp_path) as server:
        run = server.prepared.view.parent
        with overrides(embedded_target(server), read_configs(server.control, "doubling")) as changes:
            changes.bring({}, is_fresh=True)
            first = set(run_processes(run, (STUB,)))
            changes.bring({"doubling": with_delay(changes.base["doubling"], 0, count=2)})
            kept = set(run_processes(run, (STUB,)))
            assert len(kept - first) == 1
            changes.bring({"doubling": with_delay(changes.base["doubling"], 0, count=2)}, is_fresh=True)
            assert len(set(run_processes(run, (STUB,))) - kept) == 2
            server.process.kill()
