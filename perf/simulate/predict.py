"""Answers to the verb's questions: what every variant does at every level of load, how many replicas a rate needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.simulate.configuration import read_system
from tritonsmith.perf.simulate.fleet import FleetSize, replicas_for
from tritonsmith.perf.simulate.given_times import Known
from tritonsmith.perf.simulate.outcome import Outcome
from tritonsmith.perf.simulate.service import cores
from tritonsmith.perf.simulate.simulate import simulate
from tritonsmith.perf.simulate.system import System
from tritonsmith.perf.simulate.traffic import Arrivals, Bursty, ClosedLoop, Constant, Poisson, Trace, Traffic
from tritonsmith.perf.variants import Variant, changed_configs, variant_name

Rhythm = Literal["poisson", "bursty", "constant"]
RHYTHMS: tuple[Rhythm, ...] = get_args(Rhythm)
SEQUENCE_LENGTH = 10  # requests of a sequence, for a model that batches sequences
OVERLOADED = 0.97  # of what is sent per second: a server that answers less falls behind


@dataclass(frozen=True)
class Question:
    """What is simulated: `model` of these configurations, in each variant; `core_count` 0: cores are no limit."""

    model: str
    configs: Mapping[str, ModelConfig]
    known: Known
    variants: tuple[Variant, ...] = ({},)
    core_count: int = 0
    has_gpu: bool = False
    seed: int = 0

    @property
    def reached(self) -> tuple[str, ...]:
        """Return the model, and where it is an ensemble its steps, however deep."""
        return reached_models(self.model, self.configs)

    @property
    def computing(self) -> tuple[str, ...]:
        """Return those that are no ensembles."""
        return computing_models(self.model, self.configs)


@dataclass(frozen=True)
class SimulatedPoint:
    """What one variant does at one level of load; a load of None is a recorded trace."""

    variant: Variant
    load: Load | None
    outcome: Outcome

    @property
    def is_overloaded(self) -> bool:
        """Return whether requests come faster than they are answered: times then grow with the length of the run."""
        is_open = self.load is not None and self.load.kind == "request_rate"
        return is_open and self.outcome.throughput_per_s < OVERLOADED * self.load.value  # type: ignore[union-attr]

    @property
    def busiest(self) -> str:
        """Return the model whose instances are busy for the largest share of the time."""
        models = self.outcome.models
        return max(models, key=lambda name: models[name].utilization)


@dataclass(frozen=True)
class Fleet:
    """How many replicas one variant needs; None where none are enough, and why."""

    variant: Variant
    size: FleetSize | None
    reason: str = ""


def reached_models(model: str, configs: Mapping[str, ModelConfig]) -> tuple[str, ...]:
    """Return a model and, where it is an ensemble, its steps, however deep.

    Raises: UsageError for a step that has no configuration.
    """
    found: dict[str, None] = {}
    waiting = [model]
    while waiting:
        name = waiting.pop(0)
        if name not in configs:
            hint = "tritonsmith check says what is wrong with it"
            raise UsageError(f"'{name}' is needed, but there is no such model that can be read", hint=hint)
        if name not in found:
            found[name] = None
            waiting += [step.model_name for step in configs[name].ensemble_scheduling.step]
    return tuple(found)


def computing_models(model: str, configs: Mapping[str, ModelConfig]) -> tuple[str, ...]:
    """Return those of them that are no ensembles, and so have service times."""
    return tuple(name for name in reached_models(model, configs) if not configs[name].ensemble_scheduling.step)


def simulate_points(
    question: Question, loads: Sequence[Load], rhythm: Rhythm, trace: Trace | None = None
) -> Iterator[SimulatedPoint]:
    """Yield what each variant does at each level of load, or under a recorded trace.

    Raises: UsageError.
    """
    for variant in question.variants:
        system = system_of(question, variant)
        asked: list[tuple[Load | None, Arrivals]] = [(load, _arrivals(load, rhythm)) for load in loads]
        for load, arrivals in asked if trace is None else [(None, trace)]:
            length = SEQUENCE_LENGTH if _has_sequences(question) else 0
            traffic = Traffic(question.model, arrivals, sequence_length=length)
            yield SimulatedPoint(variant, load, simulate(system, traffic, seed=question.seed))


def fleets(question: Question, rate_per_s: float, limit_us: float, share: float, down: int) -> list[Fleet]:
    """Return how many replicas each variant needs for a rate, with so many of them down.

    Raises: UsageError; AnswerIsNo where no variant is fast enough.
    """
    if _has_sequences(question):
        raise UsageError(f"'{question.model}' batches sequences, whose rate says little", hint="give --request-rate")
    found = list(_fleets(question, rate_per_s, limit_us, share, down))
    if not any(fleet.size for fleet in found):
        raise AnswerIsNo(found[0].reason, hint="allow more time, or make the model faster")
    return found


def system_of(question: Question, variant: Variant) -> System:
    """Return the server that a variant is.

    Raises: UsageError.
    """
    whole = {**question.configs, **changed_configs(variant, question.configs)}
    configs = {name: whole[name] for name in question.reached}
    services = {
        name: replace(times, is_contending=not _is_on_gpu(configs[name], has_gpu=question.has_gpu))
        for name, times in question.known.services.items()
        if name in configs
    }
    return read_system(
        configs,
        services,
        contention=cores(question.core_count) if question.core_count else None,
        overhead=question.known.overhead,
        limits_rate=any(group.HasField("rate_limiter") for c in configs.values() for group in c.instance_group),
    )


def cheapest(found: Iterable[Fleet]) -> Fleet:
    """Return the fleet with the fewest replicas; of several the first."""
    return min((fleet for fleet in found if fleet.size), key=lambda fleet: fleet.size.replicas if fleet.size else 0)


def name_of(variant: Variant) -> str:
    """Return how a variant is called in a table."""
    return variant_name(variant) or "as it is"


def _fleets(question: Question, rate_per_s: float, limit_us: float, share: float, down: int) -> Iterator[Fleet]:
    for variant in question.variants:
        system = system_of(question, variant)
        try:
            size = replicas_for(
                system, question.model, rate_per_s, limit_us, share=share, spare=down, seed=question.seed
            )
        except AnswerIsNo as no:
            yield Fleet(variant, None, no.message)
        else:
            yield Fleet(variant, size)


def _arrivals(load: Load, rhythm: Rhythm) -> Arrivals:
    if load.kind == "concurrency":
        return ClosedLoop(int(load.value))
    kinds: Mapping[Rhythm, type[Poisson | Bursty | Constant]]
    kinds = {"poisson": Poisson, "bursty": Bursty, "constant": Constant}
    return kinds[rhythm](load.value)


def _has_sequences(question: Question) -> bool:
    return any(question.configs[name].HasField("sequence_batching") for name in question.reached)


def _is_on_gpu(config: ModelConfig, *, has_gpu: bool) -> bool:
    kinds = {group.kind for group in config.instance_group} or {ModelInstanceGroup.KIND_AUTO}
    is_auto_on_gpu = has_gpu and config.backend != "python"
    return ModelInstanceGroup.KIND_GPU in kinds or (ModelInstanceGroup.KIND_AUTO in kinds and is_auto_on_gpu)
