"""Where the seconds of a tuning go, phase by phase."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tritonsmith.perf.measure.machine import now
from tritonsmith.perf.tune.document import Phase


@dataclass
class Clock:
    """Where a tuning's seconds go; phases grow while it runs."""

    begun_s: float = field(default_factory=time.monotonic)
    started_at: str = field(default_factory=now)
    phases: list[Phase] = field(default_factory=list)
    earlier_s: float = 0.0  # spent by runs of this tuning before this one

    def add(self, name: str, until_s: float) -> None:
        """Add the phase that ended when so many seconds of tuning were spent, those of earlier runs included."""
        self.phases.append(Phase(name, round(until_s - self.spent_s, 2)))

    @property
    def spent_s(self) -> float:
        """Return the seconds of all phases."""
        return sum(phase.seconds for phase in self.phases)
