"""Whatever is generated together, read in pieces, reused or paused: every token is the one that numpy computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Request

Ask = Callable[..., Request]


@pytest.fixture(scope="module")
def load(llama: Any, ask: Ask) -> list[tuple[Request, list[int]]]:
    """Requests of many lengths, some of which begin alike, and what is to come out."""
    random = np.random.default_rng(3)
    shared = random.integers(0, 160, 40)
    requests = []
    for number in range(24):
        own = random.integers(0, 160, int(random.integers(1, 60)))
        tokens = np.concatenate([shared, own]) if number % 3 == 0 else own
        requests.append(ask(tokens.tolist(), int(random.integers(1, 30))))
    return [(request, llama.greedy(request.tokens, request.max_new_tokens)) for request in requests]


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"max_batch_size": 1},
        {"max_batch_size": 4, "max_num_tokens": 11},
        {"max_batch_size": 16, "tokens_per_block": 8, "max_tokens_in_cache": 400},
        {"max_batch_size": 8, "scheduler_policy": "max_utilization", "tokens_per_block": 8, "max_tokens_in_cache": 160},
        {"max_batch_size": 32, "threads": 2},
    ],
    ids=["alone", "small pieces", "few blocks", "pausing", "all at once"],
)
def test_mixed_requests_get_the_reference_s_tokens(
    open_engine: Any, load: Any, settings: dict[str, Any], chunked: bool, reuse: bool
) -> None:
    running = open_engine(enable_chunked_context=chunked, enable_kv_cache_reuse=reuse, **settings)
    assert running.complete(*(request for request, _ in load)) == [tokens for _, tokens in load]
    assert (running.engine.counters().reused_blocks > 0) == reuse


def test_the_pausing_load_really_pauses(llama: Any, load: Any) -> None:
    options = Options(max_batch_size=8, scheduler_policy="max_utilization", tokens_per_block=8, max_tokens_in_cache=160)
    engine, paused, ended = load_engine(llama.folder, options), [], threading.Semaphore(0)

    def on_step(events: Sequence[Event]) -> None:
        paused.append(engine.counters().paused)
        for event in events:
            if event.finish:
                ended.release()

    for request, _ in load:
        engine.submit(request)
    engine.start(on_step)
    assert all(ended.acquire(timeout=60) for _ in load)
    engine.close()
    assert max(paused) > 0
    assert engine.counters().paused == 0


def test_a_second_run_reuses_the_blocks_of_the_first_and_says_so(open_engine: Any, llama: Any, ask: Ask) -> None:
    running = open_engine(tokens_per_block=16)
    first, again, longer = ask(50, 20), ask(50, 20), ask(50, 24)
    running.complete(first)
    running.complete(again)
    assert running.answers.tokens(again) == running.answers.tokens(first)
    blocks = running.answers.last(again).blocks
    assert (running.answers.last(first).blocks.reused, blocks.reused, blocks.new, blocks.total) == (0, 3, 2, 5)
    answered = [*longer.tokens.tolist(), *running.answers.tokens(first)]
    follow_up = ask(answered, 4)  # a conversation goes on: blocks with the answer are known too
    running.complete(follow_up)
    assert running.answers.last(follow_up).blocks.reused == (50 + 19) // 16
    assert running.answers.tokens(follow_up) == llama.greedy(answered, 4)


def test_a_prompt_in_pieces_lets_the_answers_go_on(open_engine: Any, ask: Ask) -> None:
    running = open_engine(max_batch_size=2, max_num_tokens=9, enable_kv_cache_reuse=False)
    talking, long = ask(3, 200), ask(120, 2, seed=1)
    running.engine.submit(talking)
    running.answers.wait_for_token(talking)
    running.engine.submit(long)
    running.answers.wait(long)
    before = [event for step in running.answers.steps for event in step]
    place = next(i for i, event in enumerate(before) if event.request is long)
    assert sum(event.request is talking for event in before[:place]) >= 120 / 8 - 1
    running.engine.cancel(talking)
    running.answers.wait(talking)
