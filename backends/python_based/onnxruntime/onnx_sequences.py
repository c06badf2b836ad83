"""Implicit state of sequences, kept by correlation id.

Triton keeps the state itself for C++ backends. To a Python backend (tried on 2.51) it gives every request of a
sequence the initial value, or memory never written to where none is configured, and drops the state that comes back.
Triton sends all of a sequence to one instance, so each instance can keep its own sequences' states here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
CorrelationId = int | str

FLAG_START = 1  # TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
FLAG_END = 2  # TRITONSERVER_REQUEST_FLAG_SEQUENCE_END
# Triton's clock of an idle sequence starts when a request arrives, ours when it has run: waiting in the queue must
# not cost a sequence its state, so ours is slower.
_PATIENCE = 10
_DEFAULT_IDLE_US = 1_000_000  # core: SequenceBatchScheduler::Create


class SequenceError(ValueError):
    """Raised when a request continues a sequence that is not known here."""


@dataclass(frozen=True)
class State:
    """One `state` of the configuration: the input it is given as, the output it comes back as."""

    input_name: str
    output_name: str
    has_initial_value: bool


@dataclass
class _Kept:
    values: dict[str, Array]
    used_at_s: float


class SequenceStates:
    """The states of the sequences that are under way in this instance.

    As many are kept as Triton lets run at once, doubled: a sequence that vanished without END is pushed out by those
    that come after it, or dropped when it has been idle for ten times `max_sequence_idle_microseconds`.
    """

    def __init__(self, config: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        sequences = config["sequence_batching"]
        self.states = tuple(
            State(state["input_name"], state["output_name"], bool(state.get("initial_state")))
            for state in sequences.get("state", ())
        )
        self.output_names = frozenset(state.output_name for state in self.states)
        slots = int(config.get("max_batch_size", 0)) or 1
        if "oldest" in sequences:
            slots = max(int((sequences["oldest"] or {}).get("max_candidate_sequences", 0)), slots)
        self._limit = 2 * slots
        idle_us = int(sequences.get("max_sequence_idle_microseconds", 0)) or _DEFAULT_IDLE_US
        self._patience_s = _PATIENCE * idle_us / 1e6
        self._clock = clock
        self._kept: OrderedDict[CorrelationId, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def inputs(self, correlation_id: CorrelationId, flags: int, given: Mapping[str, Array]) -> dict[str, Array]:
        """The state inputs of one request; `given` are its inputs as Triton filled them in.

        Raises:
            SequenceError: the request continues a sequence whose state is not here.
        """
        if not self.states:
            return {}
        if flags & FLAG_START:
            return {state.input_name: _initial(state, given) for state in self.states}
        if correlation_id not in self._kept:
            raise SequenceError(
                f"the state of sequence {correlation_id!r} is not known to this instance: its START was not seen here, "
                "or it was idle for too long"
            )
        return self._kept[correlation_id].values

    def keep(self, correlation_id: CorrelationId, flags: int, outputs: Mapping[str, Array]) -> None:
        """Takes over the state outputs of one request; END forgets the sequence."""
        if not self.states:
            return
        if flags & FLAG_END:
            self._kept.pop(correlation_id, None)
        else:
            # Copied: a row is a view that would hold the outputs of its whole batch.
            values = {state.input_name: outputs[state.output_name].copy() for state in self.states}
            self._kept[correlation_id] = _Kept(values, self._clock())
            self._kept.move_to_end(correlation_id)
        self._forget()

    def _forget(self) -> None:
        oldest_allowed_s = self._clock() - self._patience_s
        while self._kept:
            first = next(iter(self._kept))
            if len(self._kept) <= self._limit and self._kept[first].used_at_s >= oldest_allowed_s:
                return
            del self._kept[first]


def _initial(state: State, given: Mapping[str, Array]) -> Array:
    """What was given where an initial value is configured; else zeros: Triton gives memory never written to."""
    if state.input_name not in given:
        raise SequenceError(f"the state input '{state.input_name}' did not come with the request")
    value = given[state.input_name]
    if state.has_initial_value:
        return value
    return np.full(value.shape, "", object) if value.dtype == object else np.zeros_like(value)
