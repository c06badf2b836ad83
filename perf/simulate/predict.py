"""Answers to the verb's questions: what every variant does at every level of load, how many replicas a rate needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.served import computing, reached
from tritonsmith.perf.simulate.configuration import read_system
from tritonsmith.perf.simulate.fleet import FleetSize, replicas_for
from tritonsmith.perf.simulate.given_times import Known
from tritonsmith.perf.simulate.outcome import Outcome
from tritonsmith.perf.simulate.service import cores
from tritonsmith.perf.simulate.simulate import simulate
from tritonsmith.perf.simulate.system import System
from tritonsmith.perf.simulate.traffic import Rhythm, Trace, traffic_for
from tritonsmith.perf.variants import Variant, changed_configs, variant_name

OVERLOADED = 0.97  # of what is sent per second: a server that answers less falls behind
CHANCE = 3.0  # standard deviations by which few arrivals may fall short of their rate


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
        return reached(self.model, self.configs)

    @property
    def computing(self) -> tuple[str, ...]:
        """Return those that are no ensembles."""
        return computing(self.model, self.configs)


@dataclass(frozen=True)
class SimulatedPoint:
    """What one variant does at one level of load; a load of None is a recorded trace."""

    variant: Variant
    load: Load | None
    outcome: Outcome
    sequence_length: int = 0

    @property
    def is_overloaded(self) -> bool:
        """Return whether requests come faster than they are answered: times then grow with the length of the run."""
        if self.load is None or self.load.kind != "request_rate":
            return False
        arrivals = self.outcome.answered / max(1, self.sequence_length)
        share = min(OVERLOADED, 1 - CHANCE / math.sqrt(arrivals)) if arrivals else OVERLOADED
        return self.outcome.throughput_per_s < share * self.load.value

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


def simulate_points(
    question: Question, loads: Sequence[Load], rhythm: Rhythm, trace: Trace | None = None
) -> Iterator[SimulatedPoint]:
    """Yield what each variant does at each level of load, or under a recorded trace.

    Raises: UsageError.
    """
    for variant in question.variants:
        system = system_of(question, variant)
        configs = {name: question.configs[name] for name in question.reached}
        for load in loads if trace is None else [trace]:
            traffic = traffic_for(question.model, load, configs, rhythm)
            outcome = simulate(system, traffic, seed=question.seed)
            yield SimulatedPoint(variant, load if isinstance(load, Load) else None, outcome, traffic.sequence_length)


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


def _has_sequences(question: Question) -> bool:
    return any(question.configs[name].HasField("sequence_batching") for name in question.reached)


def _is_on_gpu(config: ModelConfig, *, has_gpu: bool) -> bool:
    kinds = {group.kind for group in config.instance_group} or {ModelInstanceGroup.KIND_AUTO}
    is_auto_on_gpu = has_gpu and config.backend != "python"
    return ModelInstanceGroup.KIND_GPU in kinds or (ModelInstanceGroup.KIND_AUTO in kinds and is_auto_on_gpu)
