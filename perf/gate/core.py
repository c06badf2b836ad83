"""The nouns of a gate: what is compared, how far it may be off, what a run says, and the verdict.

A *run* is one short measurement of one side under one load. A *pair* is a fresh generation of both servers, measured
in turn at every load, each side four times: it gives one log ratio per metric and load. A *point* is a metric at a
load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.load import Load

Side = Literal["baseline", "candidate"]
Word = Literal["pass", "regress", "inconclusive"]
FailureKind = Literal["errors", "wrong outputs", "missing point"]


@dataclass(frozen=True)
class Metric:
    """What is compared: its name in words, and whether more of it is better."""

    title: str
    is_more_better: bool = False


METRICS: dict[str, Metric] = {
    "p50": Metric("p50 latency"),
    "mean": Metric("mean latency"),
    "p90": Metric("p90 latency"),
    "p99": Metric("p99 latency"),
    "throughput": Metric("throughput", is_more_better=True),
    "ttft_p50": Metric("time to first token, p50"),
    "tpot_p50": Metric("time per output token, p50"),
    "tokens": Metric("output tokens per second", is_more_better=True),
}


@dataclass(frozen=True)
class Tolerance:
    """How much slower a metric may be, as a share (0.05: 5 %). What has a tolerance decides; the rest is shown."""

    metric: str
    share: float

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UsageError(f"'{self.metric}' is no metric of a gate", hint=f"there are {', '.join(METRICS)}")
        if not 0 < self.share < 1:
            raise UsageError(f"the tolerance of {self.metric} is {self.share:g}", hint="write a share, e.g. 5%")


DEFAULT_TOLERANCES = (Tolerance("p50", 0.05),)


@dataclass(frozen=True)
class Conditions:
    """What else went on during a run: nothing here is the server's doing, all of it can spoil a comparison.

    `foreign_cores` is the CPU time of what is neither a server of ours nor the load generator, in cores.
    """

    is_generator_behind: bool
    generator_cores: float
    steal_share: float
    busy_share: float
    foreign_cores: float
    load_average: float


@dataclass(frozen=True)
class Run:
    """One short measurement; `place` is its place in the pair's order at this load, `values` are by metric.

    A run without data has no values, and says why in `problem`.
    """

    pair: int
    side: Side
    load: Load
    place: int
    started_at: str
    values: Mapping[str, float]
    requests: int
    failed_requests: int
    conditions: Conditions
    problem: str = ""


@dataclass(frozen=True)
class Failure:
    """What no statistics excuse: failed requests, wrong outputs, a point without data."""

    kind: FailureKind
    side: Side
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.side}, {self.where}: {self.message}"


@dataclass(frozen=True)
class Comparison:
    """One point. Ratios are slowdowns: 1.10 is 10 % more time, or a throughput divided by 1.10.

    `log_ratios` are those of the pairs, positive where the candidate is slower. `low` and `high` are one-sided bounds,
    each missing the true ratio with the look's level; None where so few pairs give none. `smallest_visible` is the
    smallest slowdown, as a share, that this many pairs with this noise seldom (7 %) fail to tell from none. `p_value`
    is that of a slowdown beyond the tolerance, None without a tolerance; then there is no word either.
    """

    metric: str
    load: Load
    tolerance: float | None
    log_ratios: tuple[float, ...]
    slowdown: float
    low: float | None
    high: float | None
    smallest_visible: float | None
    p_value: float | None = None
    word: Word | None = None

    @property
    def name(self) -> str:
        """Return what is compared, in words."""
        return f"{METRICS[self.metric].title} at {self.load}"

    @property
    def decides(self) -> bool:
        """Return whether it takes part in the verdict."""
        return self.tolerance is not None


@dataclass(frozen=True)
class Verdict:
    """What came out after so many pairs; `reasons` say why it is not "pass", the first counts most.

    `level` is the one-sided error of each bound at this look; over all looks they come to `error`.
    """

    word: Word
    pairs: int
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    failures: tuple[Failure, ...] = ()
    refusals: tuple[str, ...] = ()
    level: float | None = None
    error: float = 0.02
