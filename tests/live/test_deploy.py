"""Roll-outs to a live server: under load, broken on purpose, killed in the middle."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tritonsmith.backends.client.alone import alone_with
from tritonsmith.backends.deploy.live import act
from tritonsmith.backends.deploy.live.folder import stage_of
from tritonsmith.backends.deploy.live.rollout import Order, deploy_live
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.bench.rollout import is_own, run

pytestmark = [pytest.mark.live, pytest.mark.slow]
KINDS = [("version", False), ("initialize", False), ("shape", False), ("version", True), ("configuration", True)]
SLOW = """
import time
class TritonPythonModel:
    def initialize(self, args):
        time.sleep(2)
    def execute(self, requests):
        return []
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONSMITH_HOME", str(tmp_path / "home"))


def test_no_request_fails_but_the_broken_models_own_and_every_broken_one_is_rolled_back(tmp_path: Path) -> None:
    attempts, seen = run(tmp_path, KINDS, 30)
    assert [attempt.said or attempt.ending for attempt in attempts if not attempt.is_right] == []
    assert [one for one in seen.failures if not any(is_own(one, attempt) for attempt in attempts)] == []
    assert seen.count > 100
    assert "ValueError: broken on purpose" in attempts[1].said
    assert "output 'y' has shape [4], not [-1, 4]" in attempts[2].said
    assert "preferred batch size 99" in attempts[4].said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def server(folder: Path, write_model: Callable[..., Path]) -> Iterator[Server]:
    for root in ("served", "built"):  # with what this machine lacks, and `serve` replaces
        write_model(folder / root, "doubling", config="instance_group [{ kind: KIND_GPU count: 1 }]")
    with embedded_server(folder / "served") as running:
        yield running


def test_a_deploy_that_is_killed_is_rolled_back_by_the_next(server: Server, folder: Path) -> None:
    order = Order(folder / "built", server.http_url, server.grpc_url, server.prepared.view, load_limit_s=30)
    assert deploy_live(order).plan.units == ()
    model = folder / "built" / "doubling" / "1" / "model.py"
    good = model.read_text()
    model.write_text(SLOW)
    argv = [sys.executable, "-m", "tritonsmith.generator", "deploy", str(order.repository), "--url", order.url]
    argv += ["--server-repository", str(order.server_repository), "--load-limit", "30"]
    process = subprocess.Popen([*argv, "--grpc-url", server.grpc_url])
    journal = stage_of(server.prepared.view) / "journal.json"
    deadline_s = time.monotonic() + 30
    while not (journal.is_file() and json.loads(journal.read_bytes())["touched"]) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    with pytest.raises(UsageError, match="another command is changing"), alone_with(order.url, ""):
        pass
    process.kill()
    process.wait()
    model.write_text(good)
    dry = deploy_live(Order(order.repository, order.url, order.grpc_url, order.server_repository, is_dry=True))
    assert dry.notes == (
        "an earlier deploy was interrupted while it changed 'doubling': it would be rolled back",
        "what follows is planned for what runs now, before that",
    )
    done = deploy_live(order)
    assert done.notes == ("an earlier deploy was interrupted while it changed 'doubling': it was rolled back",)
    assert done.plan.units == ()
    assert sorted(path.name for path in (server.prepared.view / "doubling").iterdir()) == ["1", "config.pbtxt"]
    assert not journal.exists()


# the last: the server is gone then
def test_a_server_that_ends_while_it_loads_leaves_its_folder_as_it_was(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act, "LIVE_LIMIT_S", 0.5)
    (folder / "built" / "doubling" / "1" / "model.py").write_text(
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"
    )
    order = Order(folder / "built", server.http_url, server.grpc_url, server.prepared.view, load_limit_s=3)
    with pytest.raises(ServerError, match="the server has ended"):
        deploy_live(order)
    assert sorted(path.name for path in (server.prepared.view / "doubling").iterdir()) == ["1", "config.pbtxt"]
