"""The nouns of the search for the highest load within limits: what is searched, what is known, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tritonsmith.perf.measure.load import LoadKind
from tritonsmith.perf.statistics import Interval

Outcome = Literal["found", "none", "unclear"]
Judgement = Literal["holds", "fails", "open"]


@dataclass(frozen=True)
class Span:
    """Which levels of one kind of load are searched, and where the search begins."""

    kind: LoadKind
    low: float
    high: float
    start: float  # 0 where a closed loop is to say it

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Level:
    """What was measured of one level: for each limit (by metric) the counts of all windows so far.

    `cells` is how many measurements there are, `is_held` whether perf_analyzer held the load in most of them. A
    `failure` is what the server said where it refused requests at this level: then it does not hold.
    """

    value: float
    cells: int
    tallies: Mapping[str, Tally]
    is_held: bool = True
    failure: str = ""


@dataclass(frozen=True)
class Tally:
    """Requests and those within a limit, by window ([windows]), and the windows' mean times in milliseconds."""

    requests: tuple[int, ...]
    within: tuple[int, ...]
    mean_ms: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """The highest level of a kind of load within the limits.

    found: `level` holds, with its throughput and the interval of it; `failing` is the lowest level above that does not
    hold, None where even the highest that was asked for holds. none: not even the lowest level holds. unclear: which
    one it is cannot be told. `undecided` are levels between that can be told neither way. `share` is the share of the
    requests within the tightest limit at `level`, with its lower bound. `why` says it in words.
    """

    kind: LoadKind
    outcome: Outcome
    level: float | None
    failing: float | None
    undecided: tuple[float, ...] = ()
    throughput_per_s: float = 0.0
    throughput_interval: Interval | None = None
    share: float = 0.0
    share_low: float = 0.0
    why: str = ""
