"""What is simulated: models with their schedulers and instances, ensembles, and the machine under them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate.service import Contention, Overhead, ServiceTimes

NO_OVERHEAD = Overhead()


@dataclass(frozen=True)
class QueuePolicy:
    """ModelQueuePolicy, with Triton's defaults; 0 is no limit."""

    timeout_action: Literal["REJECT", "DELAY"] = "REJECT"
    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0

    @property
    def is_default(self) -> bool:
        """Return whether it asks for nothing; only then does the batcher prepare batches ahead."""
        return not (self.default_timeout_us or self.allow_timeout_override or self.max_queue_size)


@dataclass(frozen=True)
class DynamicBatching:
    """ModelDynamicBatching; no preferred sizes means the maximum batch size, as Triton fills in itself."""

    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    preserve_ordering: bool = False
    priority_levels: int = 0
    default_priority_level: int = 0
    default_policy: QueuePolicy = QueuePolicy()
    priority_policies: Mapping[int, QueuePolicy] = field(default_factory=dict)


@dataclass(frozen=True)
class DirectSequences:
    """The direct sequence batcher: each sequence has its slot in the batch of one instance."""

    max_queue_delay_us: int = 0
    minimum_slot_utilization: float = 0.0


@dataclass(frozen=True)
class OldestSequences:
    """The oldest sequence batcher; 0 candidates means the maximum batch size."""

    max_candidate_sequences: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    preserve_ordering: bool = False


Scheduler = DynamicBatching | DirectSequences | OldestSequences


@dataclass(frozen=True)
class RateLimit:
    """What one instance needs to run, by resource, and its priority (1 is the highest)."""

    resources: Mapping[str, int] = field(default_factory=dict)
    priority: int = 1


@dataclass(frozen=True)
class SimulatedModel:
    """One model. No scheduler: every request is an execution of its own.

    `checks_shapes`: an input has axes of free length, so the batcher looks at every request at once. `limits` are the
    instances' rate limits, one each, or none.
    """

    service: ServiceTimes
    max_batch_size: int = 0
    instances: int = 1
    scheduler: Scheduler | None = None
    checks_shapes: bool = False
    limits: tuple[RateLimit, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of an ensemble; it runs when those at the places in `after` have answered."""

    model: str
    after: frozenset[int] = frozenset()


@dataclass(frozen=True)
class SimulatedEnsemble:
    """An ensemble's steps; a step may be an ensemble too, and a model may be a step of several."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class System:
    """A server: its models by name, and what they share.

    `contention` slows down executions that want a core; without it none is. `limits_rate` is the server's
    --rate-limit=execution_count; `resources` its --rate-limit-resource, by default what the greediest instance needs.
    """

    models: Mapping[str, SimulatedModel | SimulatedEnsemble]
    contention: Contention | None = None
    overhead: Overhead = NO_OVERHEAD
    limits_rate: bool = False
    resources: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, model in self.models.items():
            for step in model.steps if isinstance(model, SimulatedEnsemble) else ():
                if step.model not in self.models:
                    raise UsageError(f"ensemble '{name}' needs '{step.model}', which is not described")
