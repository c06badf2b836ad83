"""Events of a row -> the tensors of its responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..request import Event
from .inputs import Row
from .triton import ONE, Array


class Answer:
    """What a row has been given so far; log-probabilities are kept only where they are wanted."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.generated = 0  # tokens, of the answer alone
        self._log_probs: list[float] = []
        self._constants = dict(_constants(row))

    def tensors(self, event: Event) -> dict[str, Array]:
        """Return every tensor that a response to this event may hold, by name."""
        wishes, request = self.row.wishes, self.row.request
        self.generated += len(event.tokens)
        ids: Sequence[int] | Array = event.tokens
        if not wishes.is_streaming and not wishes.is_input_excluded:
            ids = np.concatenate([request.tokens, np.array(event.tokens, np.int32)])
        # One beam: what would be padded with -1 to the longest beam needs no padding.
        tensors: dict[str, Array] = {"output_ids": np.array(ids, np.int32).reshape(1, 1, -1)}
        tensors["sequence_length"] = ONE if len(ids) == 1 else np.array([[len(ids)]], np.int32)
        if wishes.log_probs:
            self._log_probs += event.log_probs
            # All so far, in each response of a stream too, as TensorRT-LLM's executor gives them.
            tensors["output_log_probs"] = np.array(self._log_probs, np.float32).reshape(1, 1, -1)
            tensors["cum_log_probs"] = np.array([[sum(self._log_probs)]], np.float32)
        if wishes.num_output_tokens:
            tensors["num_output_tokens"] = np.array([[len(event.tokens)]], np.int32)
        if wishes.perf_metrics and event.finish:
            tensors.update(_perf_metrics(event))
        return tensors | self._constants


def merge(events: Sequence[Event]) -> Event:
    """Return one event for successive ones of a request."""
    if len(events) == 1:
        return events[0]
    last = events[-1]
    return Event(
        request=last.request,
        tokens=tuple(token for event in events for token in event.tokens),
        log_probs=tuple(value for event in events for value in event.log_probs),
        finish=last.finish,
        error=last.error,
        timing=last.timing,
        blocks=last.blocks,
    )


def _constants(row: Row) -> Iterator[tuple[str, Array]]:
    if row.batch_size > 1:
        yield "batch_index", np.array([[row.batch_index]], np.int32)
    if row.sequences > 1:
        yield "sequence_index", np.array([[row.sequence_index]], np.int32)
    if row.wishes.num_input_tokens:
        yield "num_input_tokens", np.array([[len(row.request.tokens)]], np.int32)


def _perf_metrics(event: Event) -> Iterator[tuple[str, Array]]:
    """Yield what a finished request took; nothing was drafted, so the three numbers of drafts are 0."""
    counts = {
        "kv_cache_alloc_new_blocks": event.blocks.new,
        "kv_cache_reused_blocks": event.blocks.reused,
        "kv_cache_alloc_total_blocks": event.blocks.total,
        "total_accepted_draft_tokens": 0,
        "total_draft_tokens": 0,
    }
    times_ns = {
        "arrival_time_ns": event.timing.arrival_ns,
        "first_scheduled_time_ns": event.timing.first_scheduled_ns,
        "first_token_time_ns": event.timing.first_token_ns,
        "last_token_time_ns": event.timing.last_token_ns,
    }
    for name, count in counts.items():
        yield name, np.array([[count]], np.int32)
    for name, time_ns in times_ns.items():
        yield name, np.array([[time_ns]], np.int64)
    yield "acceptance_rate", np.zeros((1, 1), np.float32)
