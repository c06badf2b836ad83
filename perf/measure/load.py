"""A level of load: so many requests at once, or so many per second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LoadKind = Literal["concurrency", "request_rate"]


@dataclass(frozen=True)
class Load:
    """`value` is requests in flight for a concurrency, requests per second (Poisson arrivals) for a request rate."""

    kind: LoadKind
    value: float

    def __str__(self) -> str:
        return f"concurrency {self.value:g}" if self.kind == "concurrency" else f"{self.value:g} requests/s"

    @property
    def order(self) -> tuple[bool, float]:
        """Return the key that sorts loads: concurrencies first, each kind by its value."""
        return (self.kind != "concurrency", self.value)
