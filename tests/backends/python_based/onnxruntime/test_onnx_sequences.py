"""The state of a sequence is kept from request to request, and only as long as it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.onnxruntime.onnx_sequences import (
    FLAG_END,
    FLAG_START,
    SequenceError,
    SequenceStates,
)


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def states(clock: Clock | None = None, **sequences: Any) -> SequenceStates:
    state = {"input_name": "in", "output_name": "out", "data_type": "TYPE_FP32", "dims": [1]}
    config = {"max_batch_size": 2, "sequence_batching": {"direct": {}, "state": [state], **sequences}}
    return SequenceStates(config, clock or Clock())


def given(value: float = 9) -> dict[str, Any]:
    return {"in": np.full((1, 1), value, np.float32)}


def out(value: float) -> dict[str, Any]:
    return {"out": np.full((1, 1), value, np.float32), "y": np.zeros((1, 1))}


def test_a_sequence_starts_at_zero_where_no_initial_value_is_configured() -> None:
    assert states().inputs(7, FLAG_START, given())["in"].tolist() == [[0]]


def test_a_sequence_starts_at_the_configured_value_which_triton_sends() -> None:
    initial = {"input_name": "in", "output_name": "out", "initial_state": [{"zero_data": True}]}
    assert states(state=[initial]).inputs(7, FLAG_START, given())["in"].tolist() == [[9]]


def test_a_sequence_of_texts_starts_with_empty_ones() -> None:
    assert states().inputs(7, FLAG_START, {"in": np.array([["x"]], object)})["in"].tolist() == [[""]]


def test_a_request_without_its_state_input_is_refused() -> None:
    with pytest.raises(SequenceError, match="the state input 'in' did not come with the request"):
        states().inputs(7, FLAG_START, {})


def test_each_sequence_continues_with_what_it_left() -> None:
    kept = states()
    kept.keep(1, FLAG_START, out(11))
    kept.keep("two", FLAG_START, out(22))
    assert kept.inputs(1, 0, given())["in"].tolist() == [[11]]
    assert kept.inputs("two", 0, given())["in"].tolist() == [[22]]


def test_what_is_kept_does_not_hold_the_batch_it_came_from() -> None:
    kept, batch = states(), np.zeros((1000, 1), np.float32)
    kept.keep(1, FLAG_START, {"out": batch[:1]})
    assert kept.inputs(1, 0, given())["in"].base is None


def test_start_begins_anew_also_for_a_sequence_that_never_ended() -> None:
    kept = states()
    kept.keep(1, FLAG_START, out(11))
    assert kept.inputs(1, FLAG_START, given())["in"].tolist() == [[0]]


def test_end_forgets_the_sequence() -> None:
    kept = states()
    kept.keep(1, FLAG_START, out(11))
    kept.keep(1, FLAG_END, out(12))
    assert len(kept) == 0
    with pytest.raises(SequenceError, match="the state of sequence 1 is not known to this instance"):
        kept.inputs(1, 0, given())


def test_a_sequence_of_one_request_leaves_nothing() -> None:
    kept = states()
    kept.keep(1, FLAG_START | FLAG_END, out(11))
    assert len(kept) == 0


def test_sequences_that_vanish_are_forgotten_when_idle() -> None:
    clock = Clock()
    kept = states(clock, max_sequence_idle_microseconds=500_000)
    kept.keep(1, FLAG_START, out(11))
    clock.now_s = 4.9
    kept.keep(2, FLAG_START, out(22))
    assert len(kept) == 2
    clock.now_s = 5.1
    kept.keep(2, 0, out(23))
    assert len(kept) == 1


def test_no_more_sequences_are_kept_than_twice_those_that_can_run_at_once() -> None:
    kept = states()
    for sequence in range(1, 100):
        kept.keep(sequence, FLAG_START, out(sequence))
    assert len(kept) == 4
    kept = states(oldest={"max_candidate_sequences": 8})
    for sequence in range(1, 100):
        kept.keep(sequence, FLAG_START, out(sequence))
    assert len(kept) == 16


def test_a_model_without_states_needs_none() -> None:
    kept = states(state=[])
    kept.keep(1, FLAG_START, {})
    assert kept.inputs(1, 0, {}) == {}
    assert len(kept) == 0
