"""An arena that shows on stderr how far the budget is spent, and on what."""

from __future__ import annotations

from tritonsmith.generator.console import Progress
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Arena, Candidate, Trial


class Watched:
    """An `Arena` that tells a `Progress`, in seconds, what it does."""

    def __init__(self, arena: Arena, progress: Progress) -> None:
        self._arena = arena
        self._progress = progress

    @property
    def spent_s(self) -> float:
        """Seconds since tuning began."""
        return self._arena.spent_s

    def measure(self, candidate: Candidate, load: Load, *, window_ms: int, is_fresh: bool) -> Trial:
        """Measure once, and show that."""
        self._progress.update(round(self.spent_s), f"{candidate.name} at {load}")
        return self._arena.measure(candidate, load, window_ms=window_ms, is_fresh=is_fresh)
