"""Made-up spaces that `tune` is tried on: what each candidate truly does, and what the simulator predicts of it.

Truth is the simulator's with other service times than those the prediction knows: other fixed and variable parts, other
contention, and each candidate and each of its loads off by a factor of its own.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from tritonsmith.perf.limits import LATENCIES, Limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.simulate import (
    ClosedLoop,
    Contention,
    DynamicBatching,
    Overhead,
    Poisson,
    ServiceTimes,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
    Traffic,
    simulate,
)
from tritonsmith.perf.simulate.outcome import Outcome
from tritonsmith.perf.tune.core import Candidate, Objective, Prediction, Wish
from tritonsmith.perf.tune.wishes import limit_metrics, score_of

REQUESTS, KEPT = 2000, 2048
CONCURRENCIES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Machine:
    """Service times of up to three steps as (fixed, per row) in microseconds, and what slows them down."""

    steps: tuple[tuple[float, float], ...]
    contending: tuple[bool, ...]
    slowdown: float  # of two that compute at once
    overhead_us: float = 500.0
    variation: float = 0.1


@dataclass
class Space:
    """Candidates, a wish, the truth and the prediction; both are simulated once and kept."""

    title: str
    candidates: list[Candidate]
    wish: Wish
    machine: Machine
    seed: int
    mismatch: float = 0.1
    _known: dict[tuple[str, Load, bool], Prediction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._true_machine = _other(self.machine, self.mismatch, random.Random(self.seed))  # noqa: S311

    def predict(self, candidate: Candidate, load: Load) -> Prediction:
        """Return what the simulator says with the service times it was calibrated with."""
        return self._ask(candidate, load, is_true=False)

    def truth(self, candidate: Candidate, load: Load) -> Prediction:
        """Return what is true."""
        return self._ask(candidate, load, is_true=True)

    def true_score(self, candidate: Candidate, load: Load, slack: float = 1.0) -> float:
        """Return the true score; minus infinity where a limit is exceeded by more than the slack's factor."""
        truth = self.truth(candidate, load)
        for metric, at_most in limit_metrics(self.wish).items():
            if getattr(truth, metric) > at_most * slack:
                return float("-inf")
        return score_of(self.wish, truth)

    def best_score(self) -> float:
        """Return the best true score at the given loads."""
        loads = self.wish.loads[-1:] if self.wish.objective == "latency" else self.wish.loads
        return max(self.true_score(one, load) for one in self.candidates for load in loads)

    def _ask(self, candidate: Candidate, load: Load, *, is_true: bool) -> Prediction:
        key = (candidate.name, load, is_true)
        if key not in self._known:
            machine = self._true_machine if is_true else self.machine
            outcome = _simulate(candidate, load, machine)
            limit_us = 1e3 * min((limit.at_most for limit in self.wish.limits), default=float("inf"))
            self._known[key] = _as_prediction(outcome, limit_us, self._factor(candidate, load) if is_true else 1.0)
        return self._known[key]

    def _factor(self, candidate: Candidate, load: Load) -> float:
        own = random.Random(f"{self.seed} {candidate.name}").gauss(0, 0.2 * self.mismatch)  # noqa: S311
        at_load = random.Random(f"{self.seed} {candidate.name} {load}").gauss(0, 0.15 * self.mismatch)  # noqa: S311
        return float(2.718281828 ** (own + at_load))


def _other(machine: Machine, mismatch: float, draw: random.Random) -> Machine:
    steps = tuple(
        (fixed * 2.72 ** draw.gauss(0, mismatch), row * 2.72 ** draw.gauss(0, mismatch)) for fixed, row in machine.steps
    )
    slowdown = max(1.0, machine.slowdown * 2.72 ** draw.gauss(0, mismatch))
    return replace(machine, steps=steps, slowdown=slowdown, overhead_us=machine.overhead_us * draw.uniform(0.7, 1.5))


@lru_cache(maxsize=KEPT)
def _simulate(candidate: Candidate, load: Load, machine: Machine) -> Outcome:
    models: dict[str, SimulatedModel | SimulatedEnsemble] = {}
    for number, ((fixed, row), contends) in enumerate(zip(machine.steps, machine.contending, strict=True)):
        name = f"step{number}"
        batch = int(candidate.variant.get(f"models.{name}.max_batch_size", 8))
        delay = int(candidate.variant.get(f"models.{name}.dynamic_batching.max_queue_delay_microseconds", 0))
        service = ServiceTimes({1: fixed + row, 64: fixed + 64 * row}, machine.variation, is_contending=contends)
        count = int(candidate.variant.get(f"models.{name}.instance_group.count", 1))
        models[name] = SimulatedModel(service, batch, count, DynamicBatching(max_queue_delay_us=delay))
    target = next(iter(models))
    if len(models) > 1:
        steps = tuple(Step(name, frozenset({n - 1} if n else ())) for n, name in enumerate(models))
        target, models = "pipeline", models | {"pipeline": SimulatedEnsemble(steps)}
    contention = Contention((1.0, machine.slowdown))
    system = System(models, contention=contention, overhead=Overhead(machine.overhead_us, 0.3))
    arrivals = ClosedLoop(int(load.value)) if load.kind == "concurrency" else Poisson(load.value)
    return simulate(system, Traffic(target, arrivals), requests=REQUESTS)


def _as_prediction(outcome: Outcome, limit_us: float, slower: float) -> Prediction:
    part = outcome.traffic[0]
    times = {name: part.quantile_us(share) * slower / 1e3 for name, share in QUANTILES.items()}
    rate = part.throughput_per_s / slower
    return Prediction(rate, rate * part.share_within(limit_us / slower), part.mean_us * slower / 1e3, **times)


QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}
FIELDS = {"count": "instance_group.count", "batch": "max_batch_size"}
DELAY = "dynamic_batching.max_queue_delay_microseconds"


def grid(**values: tuple[int, ...]) -> list[Candidate]:
    """Return every combination; a name is `FIELD_STEP`, as in count_0, batch_0, delay_0."""
    candidates = []
    for combination in itertools.product(*values.values()):
        variant: dict[str, int] = {}
        for name, value in zip(values, combination, strict=True):
            kind, _, step = name.partition("_")
            variant[f"models.step{step}.{FIELDS.get(kind, DELAY)}"] = value
        name = ", ".join(f"{name} {value}" for name, value in zip(values, combination, strict=True))
        candidates.append(Candidate(name, variant, tuple(float(value) for value in combination)))
    return candidates


PAYS = Machine(((4000.0, 500.0),), (False,), 1.0)
PAYS_NOT = Machine(((200.0, 2000.0),), (True,), 1.05)
THREE = Machine(((600.0, 300.0), (3000.0, 400.0), (300.0, 500.0)), (True, False, True), 1.1)
MIXED = Machine(((2500.0, 700.0),), (True,), 1.3, variation=0.3)

SPACES: dict[str, tuple[Machine, Callable[[], list[Candidate]]]] = {
    "batching pays": (PAYS, lambda: grid(batch_0=(1, 2, 4, 8), count_0=(1, 2, 3))),
    "batching does not pay": (PAYS_NOT, lambda: grid(delay_0=(0, 2000), batch_0=(4, 8), count_0=(1, 2, 3))),
    "batching pays a little": (MIXED, lambda: grid(batch_0=(1, 4, 16), delay_0=(0, 1000), count_0=(1, 2))),
    "three steps": (THREE, lambda: grid(batch_1=(4, 8), count_0=(1, 2), count_1=(1, 2, 3))),
}
LARGE: dict[str, tuple[Machine, Callable[[], list[Candidate]]]] = {
    "40 candidates": (MIXED, lambda: grid(batch_0=(1, 2, 4, 8, 16, 32, 64, 128), count_0=(1, 2, 3, 4, 5))),
    "432 candidates": (
        THREE,
        lambda: grid(
            batch_1=(4, 8, 16),
            delay_1=(0, 500, 2000),
            batch_2=(1, 4, 8),
            count_0=(1, 2),
            count_1=(1, 2, 3, 4),
            count_2=(1, 2),
        ),
    ),
}


def space(title: str, objective: str, seed: int, mismatch: float) -> Space:
    """Return a space of a kind, for one of the objectives throughput, limited, goodput, latency."""
    machine, candidates = (SPACES | LARGE)[title]
    concurrencies = CONCURRENCIES if title in SPACES else CONCURRENCIES[-2:]
    loads = tuple(Load("concurrency", value) for value in concurrencies)
    made = Space(title, candidates(), Wish("throughput", (), loads), machine, seed, mismatch)
    if objective in ("limited", "goodput"):
        limit = Limit("p99_ms", _limit_ms(made))
        kind: Objective = "throughput" if objective == "limited" else "goodput"
        made = Space(title, made.candidates, Wish(kind, (limit,), loads), machine, seed, mismatch)
    elif objective == "latency":
        made = Space(title, made.candidates, Wish("latency", (), loads, "p50_ms"), machine, seed, mismatch)
    return made


def _limit_ms(made: Space) -> float:
    """Return a p99 that between a third and two thirds of the loads keep, drawn anew for each seed."""
    p99s = sorted(made.predict(one, load).p99_ms for one in made.candidates[:12] for load in made.wish.loads)
    low, high = p99s[len(p99s) // 3], p99s[len(p99s) * 2 // 3]
    return float(f"{low * (high / low) ** random.Random(made.seed).random():.3g}")  # noqa: S311


def times(prediction: Prediction) -> Mapping[str, float]:
    """Return the times of a prediction by their fields."""
    return {name: getattr(prediction, name) for name in LATENCIES}
