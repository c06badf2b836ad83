"""A real tritonserver, started on URLs of a store as a pod would, while a push to it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.backends.deploy.store.contents import read_contents
from tritonsmith.backends.deploy.store.push import push
from tritonsmith.perf.bench.local_store import LocalStore, local_store
from tritonsmith.perf.bench.store_start import server_from, unlike

pytestmark = pytest.mark.live

ENSEMBLE = """platform: "ensemble"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: -1 }
output { name: "y" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling {
  step { model_name: "double" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "y" } }
}
"""


@pytest.fixture(scope="module")
def store() -> Iterator[LocalStore]:
    with local_store() as running:
        yield running


def test_a_killed_push_leaves_a_server_the_old_repository_and_bars_the_new(
    store: LocalStore, write_model: object, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    double = write_model(repository, "double")  # type: ignore[operator]
    (repository / "ensemble/1").mkdir(parents=True)
    (repository / "ensemble/config.pbtxt").write_text(ENSEMBLE)
    old, contents = push(repository, store.url("fleet")), read_contents(repository)
    (double / "1" / "neighbour.py").write_text("second")
    new = push(repository, store.url("fleet"), is_dry=True)

    argv = [str(Path(sys.executable).with_name("tritonsmith")), "deploy", str(repository), "--push", store.url("fleet")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        # after the bars, before they give way
        store.cut_at(16, "after", lambda: os.kill(client.pid, signal.SIGKILL))
        assert client.wait(timeout=200) == -signal.SIGKILL
    store.mend()

    with server_from(old.url) as server:
        assert server.refusal == ""
        assert unlike(server, contents) == []
        (tmp_path / "empty").mkdir()
        nothing = replace(server, copies=tmp_path / "empty")
        assert unlike(nothing, contents) == ["double was not copied from the store"]
    with server_from(new.url) as server:
        assert "tritonsmith_has_not_finished_to_push_this_model" in server.refusal
    assert push(repository, store.url("fleet")).digest == new.digest
    with server_from(new.url) as server:
        assert unlike(server, read_contents(repository)) == []
