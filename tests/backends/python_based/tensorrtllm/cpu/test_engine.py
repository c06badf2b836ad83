"""The engine's promises: limits with names, ends for everything, nothing held afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import EngineError, Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.sequence import Sequence
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Request, RequestError, Sampling

Ask = Callable[..., Request]


def test_limits_are_the_model_s_where_none_are_given(open_engine: Any) -> None:
    limits = open_engine().engine.limits
    assert (limits.max_batch_size, limits.max_seq_len, limits.max_input_len, limits.vocab_size) == (8, 256, 255, 160)


def test_a_small_cache_bounds_the_sequences(open_engine: Any) -> None:
    assert open_engine(max_tokens_in_cache=100, tokens_per_block=16).engine.limits.max_seq_len == 96


@pytest.mark.parametrize(
    ("prompt", "count", "message"),
    [
        ([], 1, "the prompt has no tokens"),
        ([1] * 64, 1, "the prompt has 64 tokens; max_input_len is 63"),
        ([1] * 60, 5, "60 tokens of prompt and 5 new ones exceed max_seq_len 64: ask for at most 4"),
        ([1], 0, "max_new_tokens 0"),
        ([1, 160], 1, "token 160 in the prompt: the model has 0 to 159"),
        ([-1, 3], 1, "token -1 in the prompt"),
    ],
)
def test_what_can_never_be_served_is_refused_with_its_limit(
    open_engine: Any, ask: Ask, prompt: list[int], count: int, message: str
) -> None:
    running = open_engine(max_seq_len=64)
    with pytest.raises(RequestError, match=message):
        running.engine.submit(ask(prompt, count))
    assert running.engine.counters().active == 0


def test_the_longest_request_fits(open_engine: Any, ask: Ask, llama: Any) -> None:
    request = ask(4, 60)
    assert open_engine(max_seq_len=64).complete(request) == [llama.greedy(request.tokens, 60)]


def test_a_full_queue_refuses_and_names_the_limit(open_engine: Any, ask: Ask) -> None:
    running = open_engine(max_batch_size=1, max_queue_size=2)
    first = ask(3, 250)
    running.engine.submit(first)
    running.answers.wait_for_token(first)
    waiting = [ask(3, 1), ask(3, 1)]
    for request in waiting:
        running.engine.submit(request)
    with pytest.raises(RequestError, match="the queue is full: 2 requests wait; max_queue_size is 2"):
        running.engine.submit(ask(3, 1))
    assert running.engine.counters().waiting == 2
    running.engine.cancel(first)
    running.answers.wait(first, *waiting)


def test_requests_for_which_there_are_rows_do_not_count_as_waiting(open_engine: Any, ask: Ask, llama: Any) -> None:
    engine = load_engine(llama.folder, Options(max_batch_size=3, max_queue_size=1))
    for _ in range(4):
        engine.submit(ask(3, 1))
    with pytest.raises(RequestError, match="max_queue_size is 1"):
        engine.submit(ask(3, 1))
    engine.close()


def test_memory_that_the_system_does_not_have_is_refused_with_what_to_lower(llama: Any) -> None:
    with pytest.raises(EngineError, match="GiB: lower max_batch_size, max_seq_len or max_tokens_in_cache"):
        load_engine(llama.folder, Options(max_batch_size=10**10))


def test_an_answer_ends_at_its_end_token_which_is_sent(open_engine: Any, ask: Ask, llama: Any) -> None:
    expected = llama.greedy(ask(5, 30).tokens, 30)
    end = expected[12]
    request = ask(5, 30, end_id=end)
    running = open_engine()
    assert running.complete(request) == [expected[: expected.index(end) + 1]]
    assert running.answers.last(request).finish == "stop"


def test_an_answer_ends_after_a_stop_word_that_came_in_several_steps(open_engine: Any, ask: Ask, llama: Any) -> None:
    expected = llama.greedy(ask(5, 30).tokens, 30)
    word = tuple(expected[10:13])
    end = next(i for i in range(3, 31) if tuple(expected[i - 3 : i]) == word)
    request = ask(5, 30, stop_words=((159, 158), word))
    running = open_engine()
    assert running.complete(request) == [expected[:end]]
    assert running.answers.last(request).finish == "stop"


def test_min_tokens_puts_the_end_off(open_engine: Any, ask: Ask, llama: Any) -> None:
    end = llama.greedy(ask(5, 1).tokens, 1)[0]
    (answer,) = open_engine().complete(ask(5, 30, end_id=end, min_tokens=7))
    assert end not in answer[:7]
    assert len(answer) >= 7


def test_without_steps_there_is_one_event_with_everything(open_engine: Any, ask: Ask) -> None:
    running = open_engine()
    request = ask(5, 20, needs_steps=False, needs_log_probs=True)
    running.complete(request)
    (event,) = running.answers.events[request]
    assert (len(event.tokens), len(event.log_probs), event.finish) == (20, 20, "length")


def test_log_probabilities_are_the_reference_s(open_engine: Any, ask: Ask, llama: Any) -> None:
    running = open_engine()
    request = ask(5, 10, needs_log_probs=True)
    (answer,) = running.complete(request, ask(9, 30, seed=1))[:1]
    for place, (token, log_prob) in enumerate(zip(answer, running.answers.log_probs(request), strict=True)):
        logits = llama.logits([*request.tokens.tolist(), *answer[:place]])[-1]
        shares = np.exp(logits - logits.max())
        assert log_prob == pytest.approx(np.log(shares[token] / shares.sum()), abs=1e-4)


@pytest.mark.parametrize("policy", ["guaranteed_no_evict", "max_utilization"])
def test_the_same_seed_gives_the_same_tokens_whoever_else_is_there(open_engine: Any, ask: Ask, policy: str) -> None:
    def fresh(seed: int) -> Request:
        return ask(20, 40, sampling=Sampling(1.3, top_k=40, top_p=0.95, repetition_penalty=1.1, seed=seed))

    (alone,) = open_engine(max_batch_size=1).complete(fresh(5))
    crowd = [ask(9 + i, 50, seed=i, sampling=Sampling(0.7, top_p=0.9, seed=i)) for i in range(12)]
    running = open_engine(
        max_batch_size=8, scheduler_policy=policy, max_tokens_in_cache=240, tokens_per_block=8, max_num_tokens=20
    )
    answers = running.complete(*crowd, fresh(5), fresh(5), fresh(6))
    assert answers[-3] == alone
    assert answers[-2] == alone
    assert answers[-1] != alone


def test_times_and_blocks_are_on_the_last_event(open_engine: Any, ask: Ask) -> None:
    running = open_engine(tokens_per_block=16)
    request = ask(20, 20)
    running.complete(request)
    timing = running.answers.last(request).timing
    assert 0 < timing.arrival_ns < timing.first_scheduled_ns < timing.first_token_ns < timing.last_token_ns
    blocks = running.answers.last(request).blocks
    assert (blocks.new, blocks.reused, blocks.total) == (3, 0, 3)


def test_counters_tell_what_is_inside(open_engine: Any, ask: Ask) -> None:
    running = open_engine(max_batch_size=2, tokens_per_block=16, max_tokens_in_cache=512)
    requests = [ask(4, 200), ask(4, 200, seed=1), ask(4, 200, seed=2)]
    for request in requests:
        running.engine.submit(request)
    running.answers.wait_for_token(requests[1])
    counters = running.engine.counters()
    assert (counters.active, counters.max_active, counters.generating, counters.waiting) == (3, 2, 2, 1)
    assert (counters.max_blocks, counters.used_blocks, counters.free_blocks) == (32, 26, 6)
    assert counters.memory_bytes["cpu"] > 0
    for request in requests:
        running.engine.cancel(request)
    running.answers.wait(*requests)
    assert [running.answers.last(request).finish for request in requests] == ["cancelled"] * 3


def test_a_paused_request_that_is_cancelled_is_paused_no_more(llama: Any, ask: Ask) -> None:
    options = Options(max_batch_size=4, scheduler_policy="max_utilization", tokens_per_block=8, max_tokens_in_cache=96)
    batch = load_engine(llama.folder, options)._batch
    for number in range(4):
        batch.add(Sequence(ask(8, 60, seed=number), number, 160))
    while not batch.paused:
        list(batch.step())
    paused = next(sequence for sequence in batch.waiting if sequence.generated)
    before = batch.paused
    (event,) = batch.remove([paused.request], "cancelled")
    assert (event.finish, event.tokens, batch.paused) == ("cancelled", (), before - 1)
    assert batch.remove_all("error", "over")
    assert (batch.paused, batch.books.used, batch.is_busy) == (0, 0, False)


def test_one_that_has_ended_is_not_cancelled(open_engine: Any, ask: Ask) -> None:
    running = open_engine()
    request, other = ask(4, 2), ask(4, 2)
    running.complete(request)
    running.engine.cancel(request)
    running.complete(other)
    assert [event.finish for event in running.answers.events[request]] == ["", "length"]


def test_rules_that_leave_no_token_end_that_request_alone(open_engine: Any, ask: Ask, llama: Any) -> None:
    running = open_engine()
    barren, fine = ask(4, 5, bad_words=tuple((token,) for token in range(160))), ask(9, 20)
    _, answer = running.complete(barren, fine)
    assert (running.answers.last(barren).finish, running.answers.last(barren).error) == (
        "error",
        "its bad words leave no token to choose",
    )
    assert answer == llama.greedy(fine.tokens, 20)


def test_a_model_that_fails_ends_requests_with_its_reason_and_serves_the_next(
    open_engine: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = open_engine()
    generate = running.engine._kernels.generate

    def fail(count: int) -> None:
        monkeypatch.setattr(running.engine._kernels, "generate", generate)
        raise RuntimeError("no memory")

    monkeypatch.setattr(running.engine._kernels, "generate", fail)
    broken, next_one = ask(4, 5), ask(4, 5)
    running.complete(broken)
    assert running.answers.last(broken).error == "the model failed: no memory"
    running.complete(next_one)
    assert running.answers.last(next_one).finish == "length"


def test_closing_ends_what_is_inside_and_refuses_what_comes(open_engine: Any, ask: Ask) -> None:
    running = open_engine(max_batch_size=1)
    requests = [ask(4, 250), ask(4, 250)]
    for request in requests:
        running.engine.submit(request)
    running.answers.wait_for_token(requests[0])
    running.engine.close()
    assert [running.answers.last(request).error for request in requests] == ["the engine is closed"] * 2
    with pytest.raises(RequestError, match="the engine is closed"):
        running.engine.submit(ask(4, 1))
    assert not running.engine._thread.is_alive()


@pytest.mark.parametrize("policy", ["guaranteed_no_evict", "max_utilization"])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_held_after_random_requests_and_cancels(open_engine: Any, ask: Ask, policy: str, seed: int) -> None:
    chance = random.Random(seed)
    running = open_engine(
        max_batch_size=6, scheduler_policy=policy, tokens_per_block=8, max_tokens_in_cache=320, max_num_tokens=17
    )
    inside: list[Request] = []
    for number in range(150):
        request = ask(
            chance.randrange(1, 80),
            chance.randrange(1, 60),
            seed=chance.randrange(3),
            end_id=chance.randrange(-1, 160),
            sampling=chance.choice([Sampling(), Sampling(top_k=20, seed=number)]),
            needs_steps=chance.random() < 0.8,
        )
        running.engine.submit(request)
        inside.append(request)
        if chance.random() < 0.4:
            running.engine.cancel(chance.choice(inside))
        if chance.random() < 0.1:
            running.answers.wait(chance.choice(inside))
    running.answers.wait(*inside)
    for request in inside:
        events = running.answers.events[request]
        assert [bool(event.finish) for event in events] == [False] * (len(events) - 1) + [True]
        assert events[-1].finish != "error"
    running.engine.close()
    counters = running.engine.counters()
    assert (counters.active, counters.paused, counters.used_blocks, counters.free_blocks) == (0, 0, 0, 40)
    batch = running.engine._batch
    assert len(batch.books._vacant) + len(batch.books._idle) == 40
    assert not batch.running
    assert batch.reading is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size 0: it must be at least 1"),
        ({"max_seq_len": -1}, "max_seq_len -1"),
        ({"scheduler_policy": "static_batch"}, "scheduler_policy 'static_batch': one of guaranteed_no_evict, max_util"),
        ({"max_batch_size": 8, "max_num_tokens": 8}, "max_num_tokens 8: it must exceed max_batch_size 8"),
        ({"max_seq_len": 1000}, "max_seq_len 1000: the model has max_position_embeddings 256"),
        ({"max_tokens_in_cache": 20}, "max_tokens_in_cache 20: not one block of 32 tokens"),
    ],
)
def test_options_without_sense_are_refused_with_their_value(llama: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        load_engine(llama.folder, Options(**options))
