"""A thousand requests of clients that stop, leave and send nonsense: answered or refused by name, and nothing leaks."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.server.options import ServerOptions
from tritonsmith.perf.bench.llm_client import open_stream
from tritonsmith.perf.bench.llm_model import write_llm_model
from tritonsmith.perf.bench.llm_shaking import NONSENSE, SHARES, Target, shake
from tritonsmith.perf.bench.random_llama import write_llama
from tritonsmith.perf.bench.soak import SMALL, gauges, sizes, wait_until_idle

pytestmark = [pytest.mark.live, pytest.mark.slow]

SLOTS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shaking")
    engine = write_llama(folder / "engine", SMALL)
    # few places and a small cache, so that requests wait, pause and evict what was kept for reuse
    parameters = {"batch_scheduler_policy": "max_utilization", "max_tokens_in_paged_kv_cache": "1536"}
    write_llm_model(folder / "models", engine, max_batch_size=SLOTS, parameters=parameters)
    # 2.51 holds its exit for so long where a client left a stream, whatever the model
    with embedded_server(folder / "models", ServerOptions(exit_timeout_secs=2)) as running:
        yield running


def test_a_thousand_requests_are_each_answered_or_refused_by_name_and_nothing_leaks(server: Server) -> None:
    shared_memory = sizes(server)["shm"]
    tally = shake(Target(server.grpc_url, SMALL.vocab, SMALL.positions), 1000)
    assert tally.wrong == []
    assert sum(tally.done.values()) == 1000
    assert tally.done.keys() == SHARES.keys()
    assert len(tally.errors) == len(NONSENSE) + 1  # each kind of nonsense was sent, and prompts that are too long
    wait_until_idle(server)
    with urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready") as answer:
        assert answer.status == 200
    assert [state.state for state in server.states()] == ["READY"]
    assert sizes(server)["shm"] == shared_memory


def test_afterwards_every_place_is_still_there(server: Server) -> None:
    with open_stream(server.grpc_url) as stream:
        for number in range(SLOTS):
            stream.ask([number + 1], 300, streaming=True, id_=str(number))
        for _ in range(SLOTS * 300):
            assert not stream.next().error
    wait_until_idle(server)
    assert set(gauges(server).values()) == {0}
