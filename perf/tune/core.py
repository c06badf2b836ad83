"""The nouns of tuning: `Candidate` (what may vary), `Wish` (what is wanted), `Trial` (what was measured), `Found`.

Three parts meet here and know nothing else of one another. `space` makes candidates of a spec. `search` decides what
to measure next and when it is enough; it is pure, and all that it knows of time is what the arena says it spent. An
`Arena` measures: a live server, or in tests a simulated one. A search that is given the same answers asks the same
questions, so that a journal of trials resumes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tritonsmith.generator.spec.tune import LatencyMetric
from tritonsmith.perf.document import Scalar
from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.load import Load, LoadKind

Objective = Literal["throughput", "latency", "goodput", "cost"]
Fate = Literal["picked", "tied", "eliminated", "failed", "not measured"]


@dataclass(frozen=True)
class Candidate:
    """One configuration that may be picked: fields as in a sweep's variants, "models.NAME.FIELD" to its value.

    `thrift` sorts candidates that measure alike, the cheaper first: more instances, longer delays, larger batches and
    what was not in the spec cost more.
    """

    name: str
    variant: Mapping[str, Scalar]
    thrift: tuple[float, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Wish:
    """What is wanted: the objective, under limits, over levels of load.

    throughput: the most answers per second at any level of load whose limits hold. goodput: the most answers per second
    that keep the limits on time themselves. latency: the least `latency_metric`, at the highest level of load that is
    given. cost: the least price per million answers at `price_per_hour`, over levels of load whose limits hold.
    `loads` are of one kind, ascending; between them the search may try others.
    """

    objective: Objective
    limits: tuple[Limit, ...]
    loads: tuple[Load, ...]
    latency_metric: LatencyMetric = "p99_ms"
    price_per_hour: float = 0.0

    @property
    def kind(self) -> LoadKind:
        """Return the kind of all loads."""
        return self.loads[0].kind


@dataclass(frozen=True)
class Trial:
    """One short measurement of one candidate at one level of load, in one generation (one loading) of the candidate.

    `good_per_s` are answers per second within the limits on time. `ttft_ms` and `tpot_ms` are p99s, 0 where the model
    does not stream. `memory_mib` is the server's, its Python processes included. `seconds` is all that it took, loading
    included. Where the candidate does not load, or fails requests, `failure` says why and the figures are 0.
    """

    candidate: str
    load: Load
    generation: int
    window_ms: int
    throughput_per_s: float = 0.0
    good_per_s: float = 0.0
    requests: int = 0
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    ttft_ms: float = 0.0
    tpot_ms: float = 0.0
    memory_mib: float = 0.0
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Prediction:
    """What the simulator expects of a candidate at a level of load."""

    throughput_per_s: float
    good_per_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


class Predict(Protocol):
    """Answers what a candidate would do; free of charge against measuring it."""

    def __call__(self, candidate: Candidate, load: Load) -> Prediction:
        """Return the prediction."""
        ...


class Arena(Protocol):
    """Where candidates are measured."""

    @property
    def spent_s(self) -> float:
        """Seconds since tuning began, calibration and start of the server included."""
        ...

    def measure(self, candidate: Candidate, load: Load, *, window_ms: int, is_fresh: bool) -> Trial:
        """Measure once; the candidate is loaded where it is not, with `is_fresh` even where it is.

        A candidate that does not load or that fails requests gives a trial with `failure`.
        Raises: ServerError where the server itself is gone.
        """
        ...


@dataclass(frozen=True)
class Standing:
    """What came of one candidate. `value` is the objective's, with its interval at 95 %, at `load`; None: not known.

    `predicted` is the objective's value as simulated, at the same load where it was measured. `reason` says in words
    why it was eliminated.
    """

    candidate: Candidate
    fate: Fate
    load: Load | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None
    predicted: float | None = None
    trials: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Confirmation:
    """Paired measurements of the pick (or the leader) against a rival, each in fresh generations.

    `ratio` is how much better the first is than the second (above 1: better), with its interval at 95 %.
    """

    first: str
    second: str
    pairs: int
    ratio: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Found:
    """What a search found; no `pick` where no candidate keeps the limits. Standings are in order, the best first."""

    pick: Candidate | None
    load: Load | None
    standings: tuple[Standing, ...]
    confirmations: tuple[Confirmation, ...] = ()
    spent_s: float = 0.0
    is_out_of_budget: bool = False
    trials: Sequence[Trial] = field(default=())
