"""A request on its way through one model, and who is told what became of it."""

from __future__ import annotations

from typing import Protocol


class Owner(Protocol):
    """Whoever sent a request: a client, or an ensemble."""

    def answered(self, request: Request) -> None:
        """Take the answer."""

    def failed(self, request: Request) -> None:
        """Take the refusal: the queue was full, or the request's time ran out in it."""


class Entry(Protocol):
    """A model's or an ensemble's scheduler, where requests come in."""

    def enqueue(self, request: Request) -> None:
        """Take a request."""


class Request:
    """One request to one model; times in nanoseconds."""

    __slots__ = (
        "enqueued_ns",
        "expires_ns",
        "is_end",
        "owner",
        "place",
        "priority",
        "queued_ns",
        "rows",
        "sent_ns",
        "sequence",
        "slot",
        "timeout_us",
    )

    sent_ns: int  # the client's own
    slot: int  # the sequence batcher's own

    def __init__(
        self, owner: Owner, now_ns: int, rows: int = 1, priority: int = 0, timeout_us: int = 0, place: int = 0
    ) -> None:
        self.owner = owner
        self.queued_ns = now_ns  # since when it waits, for the statistics
        self.enqueued_ns = now_ns  # since when the batcher has it, for the delay
        self.rows = rows
        self.priority = priority
        self.timeout_us = timeout_us
        self.place = place  # the owner's own: which step, how far in the sequence
        self.expires_ns = 0  # 0: never
        self.sequence = 0  # correlation id, 0: none
        self.is_end = False  # the last one of its sequence
