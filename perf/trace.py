"""Recorded arrivals: files of them, and what of them is replayed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Replay:
    """A recorded trace, or one model's requests in it, as it is replayed: `speed` 2 takes half the time."""

    name: str
    digest: str  # of all that is replayed
    speed: float
    requests: int
    seconds: float  # as replayed
