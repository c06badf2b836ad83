"""The benchmark compares what it says it does: the same tokens, batches that nobody joins, ratios within a round."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.engine import CpuEngine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.inflight import InflightBatch
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.kernels import Kernels, open_kernels
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.options import Options
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Request
from tritonsmith.perf.bench.inflight import (
    GOALS,
    Measured,
    Streams,
    as_markdown,
    compared,
    described,
    prefixed_requests_of,
    requests_of,
)
from tritonsmith.perf.bench.random_llama import Dimensions, write_llama
from tritonsmith.perf.bench.static_batching import StaticBatch

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    small = Dimensions(layers=1, hidden=64, heads=4, kv_heads=2, intermediate=96)
    folder = write_llama(tmp_path_factory.mktemp("llama"), small)
    return open_kernels(folder, rows=4, max_seq_len=0, max_tokens=0, threads=1)


def told(kernels: Kernels, batching: type[InflightBatch], requests: Sequence[Request]) -> list[Event]:
    """What an engine tells of requests that are all there at the start."""
    engine, events, ended = (
        CpuEngine(kernels, Options(max_batch_size=4), batching),
        list[Event](),
        threading.Semaphore(0),
    )

    def on_step(new: Sequence[Event]) -> None:
        events.extend(new)
        for event in new:
            if event.finish:
                ended.release()

    for request in requests:
        engine.submit(request)
    engine.start(on_step)
    assert all(ended.acquire(timeout=60) for _ in requests)
    engine.close()
    return events


def short(seed: int) -> Iterator[Request]:
    for request in requests_of(seed):
        yield Request(request.tokens, 1 + request.max_new_tokens // 8)


def test_both_ways_of_batching_make_the_same_tokens(kernels: Kernels) -> None:
    requests = list(islice(short(0), 10))
    answers = []
    for way in (InflightBatch, StaticBatch):
        events = told(kernels, way, requests)
        answers.append([[t for e in events if e.request is r for t in e.tokens] for r in requests])
    assert answers[0] == answers[1]
    assert [len(answer) for answer in answers[0]] == [request.max_new_tokens for request in requests]


def test_nobody_joins_a_static_batch_before_its_longest_answer_ends(kernels: Kernels) -> None:
    requests = [Request(np.arange(1, 9, dtype=np.int32), count) for count in (3, 20, 5, 2, 4)]
    begun: dict[Request, int] = {}
    ended: dict[Request, int] = {}
    for place, event in enumerate(told(kernels, StaticBatch, requests)):
        begun.setdefault(event.request, place)
        if event.finish:
            ended[event.request] = place
    assert begun[requests[4]] > max(ended[request] for request in requests[:4])
    begun = {}
    for place, event in enumerate(told(kernels, InflightBatch, requests)):
        begun.setdefault(event.request, place)
    assert begun[requests[4]] < ended[requests[1]]


@pytest.mark.parametrize("way", [InflightBatch, StaticBatch])
def test_a_closed_loop_counts_what_was_answered_and_leaves_nothing_inside(
    kernels: Kernels, way: type[InflightBatch]
) -> None:
    engine = CpuEngine(kernels, Options(max_batch_size=4), way)
    streams = Streams(engine)
    for seed in (0, 1):
        for measured in streams.run(short(seed), 4, 12).values():
            assert measured.tokens_per_s > 0
            assert 12 - 4 <= len(measured.ttft_ms) <= 12
            assert min(measured.ttft_ms) > 0
        assert engine.counters().used_blocks == 0
    streams.close()


def test_prompts_share_exactly_their_first_200_tokens() -> None:
    first, second = islice(prefixed_requests_of(0), 2)
    assert (first.tokens[:200] == second.tokens[:200]).all()
    assert (first.tokens[200:216] != second.tokens[200:216]).any()


def test_ratios_are_those_of_one_round_and_the_table_states_the_goals() -> None:
    inflight = Measured(150, 1.0, [2.0] * 4, [1.0] * 99) + Measured(250, 1.0, [2.0] * 5, [9.0])
    static = Measured(100, 1.0, [30.0] * 9, [1.0] * 100)
    values = compared(inflight, static)
    assert (values["throughput_ratio"], values["ttft_ratio"], values["itl_p99_over_p50"]) == (2.0, 15.0, 1.0)
    named = {f"{name}_{streams}": value for name, value in values.items() for streams in (1, 4, 16, 32)}
    named |= {"prefix_ttft_ratio": 0.2, "prefix_ttft_p50_ms": 1.0, "no_reuse_ttft_p50_ms": 5.0}
    assert set(GOALS) <= set(named)
    text = as_markdown(
        {f"wall_{name}": described([value] * 6) for name, value in named.items()}
        | {f"cpu_{name}": described([value + 1] * 6) for name, value in named.items()}
    )
    assert "| TTFT p50, static / in-flight, 16 streams | 15 | 15 to 15 | 16 | 16 to 16 | >= 10 |" in text
