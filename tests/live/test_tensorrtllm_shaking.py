"""A thousand requests of clients that stop, leave and send nonsense, to all of the pipeline that `init` starts with.

Each is answered or refused by name, and nothing leaks.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.perf.bench.llm_client import open_stream
from tritonsmith.perf.bench.llm_shaking import ACTS, ERRORS, shake, target_of
from tritonsmith.perf.bench.soak import gauges, sizes, wait_until_idle
from tritonsmith.perf.bench.text_pipeline import write_text_pipeline

pytestmark = [pytest.mark.live, pytest.mark.slow]

SLOTS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # few places and a small cache, so that requests wait, pause and evict what was kept for reuse
    parameters = {"batch_scheduler_policy": "max_utilization", "max_tokens_in_paged_kv_cache": 1536}
    folder = tmp_path_factory.mktemp("shaking")
    repository = write_text_pipeline(folder / "pipeline", parameters, max_batch_size=SLOTS)
    # 2.51 holds its exit for so long where a client left an ensemble's stream
    with embedded_server(repository, ServerOptions(exit_timeout_secs=2)) as running:
        yield running
        running.process.kill()  # how servers end is told by test_server.py


def test_a_thousand_requests_are_each_answered_or_refused_by_name_and_nothing_leaks(server: Server) -> None:
    target = target_of(server)
    before = sizes(server)
    tally = shake(target, 1000)
    assert tally.wrong == []
    assert sum(tally.done.values()) == 1000
    assert tally.done.keys() == ACTS
    assert len(tally.errors) == ERRORS  # each kind of nonsense was sent
    wait_until_idle(server)
    with urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready") as answer:
        assert answer.status == 200
    assert {state.state for state in server.states()} == {"READY"}
    after = sizes(server)
    assert target_of(server).answers == target.answers
    assert after.shared_memory == before.shared_memory
    assert after.processes.keys() == before.processes.keys()  # no stub died and was started again


def test_afterwards_every_place_is_still_there(server: Server) -> None:
    with open_stream(server.grpc_url) as stream:
        for number in range(SLOTS):
            stream.ask([number + 1], 300, streaming=True, id_=str(number))
        for _ in range(SLOTS * 300):
            assert not stream.next().error
    wait_until_idle(server)
    assert set(gauges(server).values()) == {0}
