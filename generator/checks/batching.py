"""Whether the dynamic batcher can do what it is asked to."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.wiring import boundary_of


@check(
    "TS405",
    "max_batch_size is not below 0",
    triton="'max_batch_size' must be non-negative value for {name}",
    stage=Stage.POLL,
    on=("max_batch_size",),
)
def batch_limits_are_whole(model: ModelCase) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateModelConfig)."""
    size = model.config.max_batch_size
    if size < 0:
        message = f"max_batch_size {size} is below 0"
        yield model.error("max_batch_size", message, remedy="0 is for a model that does not batch")


@check(
    "TS401",
    "preferred batch sizes are from 1 to max_batch_size",
    triton="dynamic batching preferred size must be <= max batch size for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def preferred_sizes_fit(model: ModelCase) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateModelConfig)."""
    limit = model.config.max_batch_size
    for size in model.config.dynamic_batching.preferred_batch_size:
        if not 0 < size <= limit:
            message = f"preferred batch size {size} is not from 1 to max_batch_size ({limit})"
            hint = f"raise max_batch_size to {size}, or leave {size} out"
            yield model.error("dynamic_batching.preferred_batch_size", message, remedy=hint)


@check("TS402", "dynamic batching has a max_batch_size", on=("dynamic_batching",))
def batcher_has_room(model: ModelCase) -> Iterator[Finding]:
    """Triton accepts it silently, batches nothing and ignores the queue delay (server#5215)."""
    if model.config.max_batch_size == 0:
        message = "dynamic_batching without max_batch_size batches nothing"
        yield model.warning("dynamic_batching", message, remedy="set max_batch_size, or leave dynamic_batching out")


@check("TS403", "a model that can batch does", on=("max_batch_size",))
def batches_are_formed(model: ModelCase) -> Iterator[Finding]:
    """Without a batcher every request runs alone: 17 queued requests were 17 executions, with one they were 3.

    A model that calls others (BLS) hands requests on: those that it calls form the batches.
    """
    config = model.config
    if config.max_batch_size < 2 or model.is_ensemble or config.WhichOneof("scheduling_choice") is not None:
        return
    if model.name not in model.case.repository.settings.get("calls", {}):
        message = f"max_batch_size {config.max_batch_size} without a batcher: requests of clients run one by one"
        yield model.warning("max_batch_size", message, remedy="add an empty dynamic_batching")


@check("TS404", "a model whose tensors have a dynamic first axis says whether it batches")
def batching_is_chosen(model: ModelCase) -> Iterator[Finding]:
    """An absent max_batch_size is 0: the first axis, though dynamic, is then the client's alone to fill."""
    if model.config.backend != "onnxruntime" or model.config.max_batch_size or model.model.config is None:
        return
    tensors = [list(tensor.dims) for _, tensor in boundary_of(model.config)]
    if all(dims[:1] == [-1] for dims in tensors) and "max_batch_size" not in model.model.origins:
        message = "every tensor has a dynamic first axis, yet without max_batch_size Triton batches nothing"
        hint = "set max_batch_size, and dynamic_batching; or max_batch_size: 0 if that is meant"
        yield model.note("", message, remedy=hint)
