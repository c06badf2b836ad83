from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

MakeRig = Callable[..., Any]


def ids(responses: list[Any]) -> list[list[int]]:
    return [response.tensors["output_ids"].ravel().tolist() for response in responses]


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_a_stream_brings_only_new_tokens_one_a_response_and_ends_with_the_last(make_rig: MakeRig) -> None:
    responses = make_rig().answer([7, 8, 9], 4, streaming=True)
    assert ids(responses) == [[7], [8], [9], [7]]
    assert [response.is_final for response in responses] == [False, False, False, True]
    assert all(response.tensors["output_ids"].shape == (1, 1, 1) for response in responses)
    assert all(response.tensors["sequence_length"].tolist() == [[1]] for response in responses)


def test_without_streaming_one_response_holds_prompt_and_answer(make_rig: MakeRig) -> None:
    (response,) = make_rig(is_decoupled=False).answer([7, 8, 9], 2)
    assert ids([response]) == [[7, 8, 9, 7, 8]]
    assert response.tensors["sequence_length"].tolist() == [[5]]
    assert response.is_final


def test_the_request_decides_over_the_configuration_whether_the_prompt_comes_back(make_rig: MakeRig) -> None:
    assert ids(make_rig(is_input_excluded=True).answer([7], 1)) == [[7]]
    assert ids(make_rig(is_input_excluded=True).answer([7], 1, exclude_input_in_output=False)) == [[7, 7]]
    assert ids(make_rig().answer([7], 1, exclude_input_in_output=True)) == [[7]]


def test_each_row_is_answered_on_its_own_and_only_the_last_response_is_final(make_rig: MakeRig) -> None:
    rig = make_rig()
    lengths = np.array([1, 3], np.int32)
    responses = rig.answer([[7, 0], [8, 9]], 2, input_lengths=np.array([1, 2]), request_output_len=lengths)
    assert [response.tensors["batch_index"].tolist() for response in responses] == [[[0]], [[1]]]
    assert ids(responses) == [[7, 7], [8, 9, 8, 9, 8]]
    assert [response.is_final for response in responses] == [False, True]


def test_several_sequences_of_one_prompt_are_told_apart_by_their_index(make_rig: MakeRig) -> None:
    rig = make_rig()
    request = rig.ask([7], 1, num_return_sequences=2, seed=5)
    assert [inside.sampling.seed for inside in rig.engine.inside] == [5, 6]
    rig.engine.run()
    responses = request.sender.wait()
    assert [response.tensors["sequence_index"].tolist() for response in responses] == [[[0]], [[1]]]
    assert "batch_index" not in responses[0].tensors


@pytest.mark.parametrize(
    ("more", "words"),
    [({"streaming": True}, "streaming needs a decoupled model"), ({"num_return_sequences": 2}, "2 responses")],
)
def test_a_model_that_is_not_decoupled_refuses_what_takes_several_responses(
    make_rig: MakeRig, errors: Any, more: dict[str, Any], words: str
) -> None:
    (response,) = make_rig(is_decoupled=False).answer([7], 1, **more)
    assert words in response.error.message
    assert response.error.code == errors.INVALID_ARG
    assert response.is_final


def test_a_refused_request_leaves_its_neighbours_alone(make_rig: MakeRig) -> None:
    rig = make_rig()
    bad = rig.ask([7], 1, beam_width=2)
    assert "beam_width: beam search" in bad.sender.wait()[0].error.message
    assert ids(rig.answer([8], 1)) == [[8, 8]]


def test_a_full_queue_is_unavailable_and_takes_no_row_of_the_request(make_rig: MakeRig, errors: Any) -> None:
    rig = make_rig(room=1)
    (response,) = rig.ask([[7], [8]], 1).sender.wait()
    assert response.error == errors("1 requests wait already", errors.UNAVAILABLE)
    rig.engine.run()
    assert ids(rig.answer([9], 1)) == [[9, 9]]


def test_stop_ends_the_requests_with_its_id_and_is_answered_by_nothing(make_rig: MakeRig) -> None:
    rig = make_rig()
    running, other = (rig.ask([7], 9, id_=id_, streaming=True) for id_ in ("a", "b"))
    rig.engine.step()
    (stopped,) = rig.ask([1], 1, id_="a", stop=True).sender.wait()
    assert (stopped.tensors, stopped.error) == ({}, None)
    rig.engine.step()
    last = running.sender.wait()[-1]
    assert last.error is None
    assert last.tensors["output_ids"].shape == (1, 1, 0)
    assert last.tensors["sequence_length"].tolist() == [[0]]
    assert not other.sender.ended.is_set()


def test_stop_without_an_id_is_an_error_and_with_an_unknown_one_is_none(make_rig: MakeRig) -> None:
    rig = make_rig()
    assert "request id" in rig.ask([1], 1, stop=True).sender.wait()[0].error.message
    assert rig.ask([1], 1, id_="gone", stop=True).sender.wait()[0].error is None


def test_a_client_that_goes_away_frees_its_place(make_rig: MakeRig, errors: Any) -> None:
    rig = make_rig()
    request = rig.ask([[7], [8]], 9, streaming=True)
    request.sender.is_gone = True
    until(lambda: len(rig.engine.cancelled) == 2)
    rig.engine.step()
    assert request.sender.wait()[-1].error.code == errors.CANCELLED
    assert not rig.engine.inside


def test_an_engine_that_fails_says_so_to_the_client(make_rig: MakeRig, errors: Any) -> None:
    rig = make_rig()
    rig.engine.fails = True
    (response,) = rig.answer([7], 1)
    assert response.error == errors("broken", errors.INTERNAL)


def test_what_is_inside_when_the_model_is_unloaded_gets_an_error(make_rig: MakeRig) -> None:
    rig = make_rig()
    request = rig.ask([7], 9, streaming=True)
    rig.engine.step()
    rig.service.close()
    assert request.sender.wait()[-1].error.message == "the engine is closed"
    rig.engine.inside.clear()
    rig.service._threads = []


def test_only_what_is_wanted_is_made(make_rig: MakeRig) -> None:
    (response,) = make_rig().answer([7], 2, return_log_probs=True, return_perf_metrics=True)
    assert set(response.tensors) == {"output_ids", "sequence_length"}


def test_log_probabilities_of_a_stream_are_all_those_so_far(make_rig: MakeRig, tensors_for: Any) -> None:
    rig = make_rig()
    wanted = ("output_ids", "output_log_probs", "cum_log_probs")
    tensors = tensors_for([7], 2, streaming=True, return_log_probs=True)
    request = type(rig.ask([1], 1))(tensors, wanted=wanted)
    rig.service.accept([request])
    rig.engine.run()
    responses = request.sender.wait()
    assert [response.tensors["output_log_probs"].tolist() for response in responses] == [[[[-0.5]]], [[[-0.5, -0.5]]]]
    assert [response.tensors["cum_log_probs"].tolist() for response in responses] == [[[-0.5]], [[-1.0]]]


def test_what_a_request_took_is_told_on_its_last_response(make_rig: MakeRig, tensors_for: Any) -> None:
    rig = make_rig()
    names = ("kv_cache_alloc_new_blocks", "kv_cache_reused_blocks", "kv_cache_alloc_total_blocks")
    times = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
    counts = ("num_input_tokens", "num_output_tokens")
    flags = ("return_perf_metrics", "return_num_input_tokens", "return_num_output_tokens")
    tensors = tensors_for([7, 8], 2, streaming=True, **dict.fromkeys(flags, True))
    request = type(rig.ask([1], 1))(tensors, wanted=(*names, *times, *counts))
    rig.service.accept([request])
    rig.engine.run()
    first, last = request.sender.wait()
    assert {name: array.tolist() for name, array in first.tensors.items()} == dict(
        zip(counts, ([[2]], [[1]]), strict=True)
    )
    assert [last.tensors[name].item() for name in (*names, *times)] == [5, 6, 7, 1, 2, 3, 4]
    assert [last.tensors[name].dtype for name in (names[0], times[0])] == [np.int32, np.int64]


def test_a_sender_that_falls_behind_sends_what_has_gathered_where_that_is_wanted(make_rig: MakeRig) -> None:
    rig = make_rig(is_coalescing=True)
    block = rig.ask([7], 6, streaming=True)
    send, started = block.sender.send, time.monotonic()

    def slow(response: Any, flags: int = 0) -> None:
        time.sleep(0.1 if not block.sender.responses else 0)
        send(response, flags)

    block.sender.send = slow
    rig.engine.run()
    responses = block.sender.wait()
    assert time.monotonic() - started < 1
    assert [token for part in ids(responses) for token in part] == [7] * 6
    assert len(responses) < 6
    assert responses[-1].tensors["sequence_length"].item() == len(ids(responses)[-1])


def test_behind_a_backlog_requests_take_turns(make_rig: MakeRig) -> None:
    rig = make_rig()
    early = rig.ask([7], 20, streaming=True)
    send, is_let_go = early.sender.send, threading.Event()
    order: list[str] = []

    def held(response: Any, flags: int = 0) -> None:
        is_let_go.wait(5)
        order.append("early")
        send(response, flags)

    early.sender.send = held
    for _ in range(15):
        rig.engine.step()
    late = rig.ask([8], 1, streaming=True)
    late_send = late.sender.send

    def noted(response: Any, flags: int = 0) -> None:
        order.append("late")
        late_send(response, flags)

    late.sender.send = noted
    rig.engine.run()
    is_let_go.set()
    assert ids(early.sender.wait()) == [[7]] * 20
    assert ids(late.sender.wait()) == [[8]]
    assert order.index("late") <= 3, "the late one's token waits for its turn alone"


def test_metrics_follow_the_engine_and_count_each_answer(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.answer([7, 8], 3)
    metrics = rig.triton.metrics
    until(lambda: metrics["nv_llm_output_token_len/total_output_tokens"].observed)
    assert metrics["nv_llm_input_token_len/total_input_tokens"].observed == [2]
    assert metrics["nv_llm_output_token_len/total_output_tokens"].observed == [3]
    assert metrics["nv_trt_llm_request_metrics/max"].value == 4
    assert metrics["nv_trt_llm_kv_cache_block_metrics/fraction"].value == 0.25
    assert metrics["nv_trt_llm_general_metrics/iteration_counter"].value == 7
    assert metrics["nv_trt_llm_general_metrics/timestamp"].value > 1e15
