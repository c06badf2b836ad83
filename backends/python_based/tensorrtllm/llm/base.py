"""The contract of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .request import Counters, Event, Request

OnStep = Callable[[Sequence[Event]], None]


@dataclass(frozen=True)
class Limits:
    """What an engine can hold; lengths are in tokens."""

    max_batch_size: int  # sequences generated at once
    max_seq_len: int  # prompt and answer together
    max_input_len: int
    vocab_size: int
    max_queue_size: int = 0  # requests that may wait; 0: no limit


class Engine(Protocol):
    """Completes requests, many at a time. Every method may be called from any thread."""

    limits: Limits

    def start(self, on_step: OnStep) -> None:
        """Begin; `on_step` is called from the engine's own thread, once per step, and must return at once."""

    def submit(self, request: Request) -> None:
        """Take a request; its events follow, the last one with a finish.

        Raises: RequestError where it can never be served; QueueFullError where too many wait already.
        """

    def cancel(self, request: Request) -> None:
        """End a request early: its last event has the finish "cancelled". One that has ended is left alone."""

    def counters(self) -> Counters:
        """Return the present state."""

    def close(self) -> None:
        """End the engine's thread; requests inside end with an error event."""
