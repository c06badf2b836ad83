from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.base import Limits
from tritonsmith.backends.python_based.tensorrtllm.llm.llmapi import LlmEngine
from tritonsmith.backends.python_based.tensorrtllm.llm.llmapi.sampling import end_of_stop_word, sampling_arguments
from tritonsmith.backends.python_based.tensorrtllm.llm.request import (
    Blocks,
    Event,
    QueueFullError,
    Request,
    RequestError,
    Sampling,
    Timing,
)


class Rig:
    """An engine on a fake LLM, and what came out of it."""

    def __init__(self, engine: LlmEngine, llm: Any) -> None:
        self.engine, self.llm = engine, llm
        self.steps: list[Sequence[Event]] = []
        self._moved = threading.Condition()
        engine.start(self._on_step)

    def _on_step(self, events: Sequence[Event]) -> None:
        with self._moved:
            self.steps.append(events)
            self._moved.notify_all()

    def events(self, request: Request) -> list[Event]:
        return [event for step in self.steps for event in step if event.request is request]

    def wait(self, request: Request, condition: Callable[[list[Event]], object] | None = None) -> list[Event]:
        """The events of a request once it has ended, or the condition holds."""
        is_met = condition or (lambda events: events and events[-1].finish)
        with self._moved:
            assert self._moved.wait_for(lambda: is_met(self.events(request)), 5), self.events(request)
        return self.events(request)

    def answer(self, request: Request) -> list[Event]:
        self.engine.submit(request)
        return self.wait(request)


def ask(tokens: Sequence[int], length: int = 3, **more: Any) -> Request:
    return Request(np.array(tokens, np.int32), length, **more)


@pytest.fixture
def rig(make_llm: Callable[[], Any], sampling_params: Any) -> Iterator[Rig]:
    llm = make_llm()
    rig = Rig(LlmEngine(llm, sampling_params, Limits(2, 64, 63, 1000, max_queue_size=1)), llm)
    yield rig
    if not llm.is_shut_down:
        rig.engine.close()


def test_a_stream_gives_each_token_once_and_ends_with_the_last(rig: Rig) -> None:
    events = rig.answer(ask([7, 8, 9], 4))
    assert [event.tokens for event in events] == [(7,), (8,), (9,), (7,)]
    assert [event.finish for event in events] == ["", "", "", "length"]


def test_without_steps_one_event_holds_everything(rig: Rig) -> None:
    (event,) = rig.answer(ask([7, 8], 3, needs_steps=False, needs_log_probs=True))
    assert (event.tokens, event.log_probs, event.finish) == ((7, 8, 7), (-0.5, -0.5, -0.5), "length")
    assert rig.llm.asked[0][2] is False


def test_the_last_event_says_what_the_request_took(rig: Rig) -> None:
    last = rig.answer(ask([7], 2))[-1]
    assert last.timing == Timing(10**9, 10**9 + 1000, 2 * 10**9, 86_400 * 10**9)
    assert last.blocks == Blocks(new=5, reused=2, total=7)


def test_an_end_token_and_a_stop_token_end_the_answer_and_are_in_it(rig: Rig) -> None:
    assert [event.tokens for event in rig.answer(ask([7, 8], 9, end_id=8))] == [(7,), (8,)]
    assert rig.answer(ask([7, 8], 9, stop_words=((8,),)))[-1].finish == "stop"


@pytest.mark.parametrize("needs_steps", [True, False])
def test_a_stop_word_of_several_tokens_is_found_here(rig: Rig, needs_steps: bool) -> None:
    events = rig.answer(ask([7, 8, 9], 20, stop_words=((9, 7),), needs_steps=needs_steps))
    assert [token for event in events for token in event.tokens] == [7, 8, 9, 7]
    assert events[-1].finish == "stop"
    assert len(events) == (4 if needs_steps else 1)


def test_a_cancelled_request_ends_and_leaves_room(rig: Rig) -> None:
    request = ask([7], 10**6)
    rig.engine.submit(request)
    rig.wait(request, lambda events: len(events) > 2)
    rig.engine.cancel(request)
    assert rig.wait(request)[-1].finish == "cancelled"
    rig.engine.cancel(request)  # has ended: left alone
    for _ in range(5):
        assert rig.answer(ask([7], 1))[-1].finish == "length"


def test_a_request_that_is_cancelled_before_it_began_ends_too(rig: Rig) -> None:
    request = ask([7], 10**6)
    rig.engine.submit(request)
    rig.engine.cancel(request)
    assert rig.wait(request)[-1].finish == "cancelled"


def test_a_failure_ends_one_request_with_its_reason(rig: Rig) -> None:
    (event,) = rig.answer(ask([666]))
    assert (event.finish, event.error) == ("error", "RuntimeError: Executor failed")
    assert rig.answer(ask([7], 1))[-1].finish == "length"


def test_a_full_queue_is_refused(rig: Rig) -> None:
    running = [ask([7], 10**6) for _ in range(3)]
    for request in running:
        rig.engine.submit(request)
    with pytest.raises(QueueFullError, match="1 requests wait already"):
        rig.engine.submit(ask([7]))
    for request in running:
        rig.engine.cancel(request)
        rig.wait(request)
    rig.answer(ask([7]))


def test_closing_ends_what_is_inside_with_an_error(rig: Rig) -> None:
    requests = [ask([7], 10**6), ask([8], 10**6)]
    for request in requests:
        rig.engine.submit(request)
    rig.engine.close()
    assert [rig.events(request)[-1].error for request in requests] == ["the engine was closed"] * 2
    assert rig.llm.is_shut_down


def test_counters_are_those_of_the_last_iteration_told(rig: Rig) -> None:
    assert rig.engine.counters().max_active == 2
    batch = {"numScheduledRequests": 3, "numContextRequests": 1, "numGenRequests": 2, "numPausedRequests": 0}
    cache = {"maxNumBlocks": 100, "freeNumBlocks": 60, "usedNumBlocks": 40, "tokensPerBlock": 32, "reusedBlocks": 5}
    rig.llm.stats = [
        {"iter": 8},
        {"iter": 9, "numActiveRequests": 5, "inflightBatchingStats": batch, "kvCacheStats": cache, "gpuMemUsage": 1},
    ]
    counters = rig.engine.counters()
    assert (counters.iterations, counters.active, counters.waiting, counters.generating) == (9, 5, 2, 2)
    assert (counters.max_blocks, counters.used_blocks, counters.reused_blocks) == (100, 40, 5)
    assert counters.memory_bytes == {"cpu": 0, "gpu": 1, "pinned": 0}
    assert rig.engine.counters() == counters


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (Sampling(), {"top_k": 1}),
        (Sampling(temperature=0.5, top_k=1, seed=3), {"top_k": 1}),
        (
            Sampling(temperature=0.5, top_k=4, seed=3),
            {"temperature": 0.5, "top_k": 4, "top_p": None, "seed": 3},
        ),
        (Sampling(top_p=0.9), {"temperature": 1.0, "top_k": None, "top_p": 0.9, "seed": 0}),
    ],
)
def test_sampling_in_the_apis_words(sampling: Sampling, words: dict[str, Any], sampling_params: Any) -> None:
    arguments = sampling_arguments(ask([7], sampling=sampling))
    names = ("temperature", "top_k", "top_p", "seed")
    assert {name: arguments[name] for name in names if name in arguments} == words
    sampling_params(**arguments)


def test_no_end_token_is_none() -> None:
    assert sampling_arguments(ask([7]))["ignore_eos"]
    assert not sampling_arguments(ask([7], end_id=0))["ignore_eos"]


def test_a_bad_word_of_several_tokens_is_refused_by_name() -> None:
    assert sampling_arguments(ask([7], bad_words=((5,), (6,))))["bad_token_ids"] == [5, 6]
    with pytest.raises(RequestError, match="bad_words_list holds a word of 2 tokens"):
        sampling_arguments(ask([7], bad_words=((5, 6),)))


@pytest.mark.parametrize(
    ("tokens", "start", "end"),
    [([1, 2, 3], 0, 3), ([1, 2, 3, 4], 2, 3), ([1, 2, 3], 3, None), ([3], 0, None), ([], 0, None)],
)
def test_a_stop_word_is_looked_for_behind_what_was_seen(tokens: list[int], start: int, end: int | None) -> None:
    assert end_of_stop_word(tokens, start, ((2, 3), (3,))) == end
