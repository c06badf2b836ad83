"""From Triton's model configurations to what is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tritonclient.grpc.model_config_pb2 import (
    ModelConfig,
    ModelDynamicBatching,
    ModelInstanceGroup,
    ModelQueuePolicy,
    ModelSequenceBatching,
)

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate.service import ServiceTimes
from tritonsmith.perf.simulate.system import (
    DirectSequences,
    DynamicBatching,
    OldestSequences,
    QueuePolicy,
    RateLimit,
    Scheduler,
    SimulatedEnsemble,
    SimulatedModel,
    Step,
    System,
)

TWO_ON_A_CPU = ("onnxruntime", "tensorflow")  # instances without a count: core r24.10 NormalizeInstanceGroup


def read_system(configs: Mapping[str, ModelConfig], services: Mapping[str, ServiceTimes], **shared: Any) -> System:
    """Return the system that models' configurations describe, ensembles and their steps among them.

    `services` has the service times of every model that is not an ensemble; `shared` are the fields of `System` that
    no configuration holds: contention, overhead, limits_rate, resources.

    Raises: UsageError.
    """
    return System({name: _model(name, config, services) for name, config in configs.items()}, **shared)


def _model(name: str, config: ModelConfig, services: Mapping[str, ServiceTimes]) -> SimulatedModel | SimulatedEnsemble:
    if config.ensemble_scheduling.step:
        return _ensemble(config)
    if name not in services:
        raise UsageError(f"no service times for '{name}'", hint="measure it once, or describe them")
    limits = tuple(_limits(config))
    return SimulatedModel(
        service=services[name],
        max_batch_size=max(0, config.max_batch_size),
        instances=len(limits),
        scheduler=_scheduler(config),
        checks_shapes=any(
            entry.is_shape_tensor or (-1 in entry.dims and not entry.allow_ragged_batch) for entry in config.input
        ),
        limits=limits if any(limit.resources or limit.priority != 1 for limit in limits) else (),
    )


def _ensemble(config: ModelConfig) -> SimulatedEnsemble:
    """Return the steps, each after those that make what it takes."""
    makers = {
        tensor: place
        for place, step in enumerate(config.ensemble_scheduling.step)
        for tensor in step.output_map.values()
    }
    return SimulatedEnsemble(
        tuple(
            Step(step.model_name, frozenset(makers[t] for t in step.input_map.values() if t in makers))
            for step in config.ensemble_scheduling.step
        )
    )


def instances_of(config: ModelConfig) -> int:
    """Return how many instances a configuration asks for; of a group on GPUs those on one of them.

    Without a count it is one, and two of some backends on a CPU. Source: core r24.10: NormalizeInstanceGroup.
    """
    return sum(_instances_in(group, config) for group in config.instance_group or [ModelInstanceGroup()])


def _instances_in(group: ModelInstanceGroup, config: ModelConfig) -> int:
    is_gpu = group.kind == ModelInstanceGroup.KIND_GPU or bool(group.gpus)
    default = 2 if not is_gpu and config.backend in TWO_ON_A_CPU else 1
    return group.count if group.count > 0 else default


def _limits(config: ModelConfig) -> Iterator[RateLimit]:
    """Yield one rate limit for each instance."""
    for group in config.instance_group or [ModelInstanceGroup()]:
        for gpu in group.gpus or [0]:
            for _ in range(_instances_in(group, config)):
                yield _limit(group, gpu)


def _limit(group: ModelInstanceGroup, gpu: int) -> RateLimit:
    """Resources of one name on two GPUs are two resources."""
    needed = {
        resource.name if getattr(resource, "global") else f"{resource.name} on {gpu}": resource.count
        for resource in group.rate_limiter.resources
    }
    return RateLimit(needed, max(1, group.rate_limiter.priority))


def _scheduler(config: ModelConfig) -> Scheduler | None:
    choice = config.WhichOneof("scheduling_choice")
    if choice == "dynamic_batching":
        return _dynamic(config.dynamic_batching)
    return _sequences(config.sequence_batching) if choice == "sequence_batching" else None


def _dynamic(batching: ModelDynamicBatching) -> DynamicBatching:
    return DynamicBatching(
        preferred_batch_sizes=tuple(batching.preferred_batch_size),
        max_queue_delay_us=batching.max_queue_delay_microseconds,
        preserve_ordering=batching.preserve_ordering,
        priority_levels=batching.priority_levels,
        default_priority_level=batching.default_priority_level,
        default_policy=_policy(batching.default_queue_policy),
        priority_policies={level: _policy(policy) for level, policy in batching.priority_queue_policy.items()},
    )


def _policy(policy: ModelQueuePolicy) -> QueuePolicy:
    return QueuePolicy(
        "DELAY" if policy.timeout_action == ModelQueuePolicy.DELAY else "REJECT",
        policy.default_timeout_microseconds,
        policy.allow_timeout_override,
        policy.max_queue_size,
    )


def _sequences(batching: ModelSequenceBatching) -> Scheduler:
    if batching.HasField("oldest"):
        oldest = batching.oldest
        return OldestSequences(
            oldest.max_candidate_sequences,
            tuple(oldest.preferred_batch_size),
            oldest.max_queue_delay_microseconds,
            oldest.preserve_ordering,
        )
    direct = batching.direct
    return DirectSequences(direct.max_queue_delay_microseconds, direct.minimum_slot_utilization)
