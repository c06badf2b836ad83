"""What the next measurement will take, by what such measurements took so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tritonsmith.perf.document import Scalar
from tritonsmith.perf.measure.analyzer import measured_s
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.variants import CHEAP

Kind = Literal["stay", "more instances", "fewer instances", "load"]
# Seconds besides the windows, before any was seen: perf_analyzer's start, and what changes on the server.
FIRST_GUESS: dict[Kind, float] = {"stay": 0.5, "more instances": 0.8, "fewer instances": 1.8, "load": 2.2}
RECENT, MARGIN = 8, 1.2


def kind_of_step(loaded: Candidate | None, candidate: Candidate, *, is_fresh: bool) -> Kind:
    """Return what must change on the server to measure a candidate."""
    if loaded is None or is_fresh:
        return "load"
    if loaded.name == candidate.name:
        return "stay"
    if reload_key(loaded.variant) != reload_key(candidate.variant):
        return "load"
    pairs = zip(count_key(loaded.variant), count_key(candidate.variant), strict=False)
    return "fewer instances" if any(new < old for old, new in pairs) else "more instances"


def reload_key(variant: Mapping[str, Scalar]) -> tuple[tuple[str, str], ...]:
    """Return all fields of a variant but instance counts: between variants with the same key a change is cheap."""
    return tuple(sorted((name, str(value)) for name, value in variant.items() if CHEAP not in name.split(".")))


def count_key(variant: Mapping[str, Scalar]) -> tuple[float, ...]:
    """Return the instance counts: going up through them is cheaper than going down."""
    counts = sorted((name, value) for name, value in variant.items() if CHEAP in name.split("."))
    return tuple(float(value) if isinstance(value, int | float) else 0.0 for _, value in counts)


@dataclass
class Costs:
    """Seconds besides the windows that steps of each kind took."""

    seen: dict[Kind, list[float]] = field(default_factory=dict)

    def note(self, kind: Kind, seconds: float, window_ms: int) -> None:
        """Take down what a step took in all."""
        self.seen.setdefault(kind, []).append(max(0.0, seconds - measured_s(window_ms)))

    def expected(self, kind: Kind, window_ms: int) -> float:
        """Return what a step will take, on average."""
        recent = self._recent(kind)
        return sum(recent) / len(recent) + measured_s(window_ms)

    def at_most(self, kind: Kind, window_ms: int) -> float:
        """Return what a step will hardly exceed: a little more than the longest of late."""
        return MARGIN * max(self._recent(kind)) + measured_s(window_ms)

    def _recent(self, kind: Kind) -> Sequence[float]:
        return self.seen.get(kind, [FIRST_GUESS[kind]])[-RECENT:]
