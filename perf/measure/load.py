"""A level of load: so many requests at once, or so many per second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LoadKind = Literal["concurrency", "request_rate"]
# perf_analyzer has a thread for each request in flight; sent 1 us apart, requests come at the finest of its schedule.
MAX_LOAD: dict[LoadKind, int] = {"concurrency": 4096, "request_rate": 1_000_000}


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
