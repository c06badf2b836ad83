"""Whether the dynamic batcher can do what it is asked to."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import Finding, error, note, warning
from tritonsmith.generator.wiring import boundary_of


@check("TS405", "max_batch_size is not below 0")
def batch_limits_are_whole(case: Case) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateModelConfig, "'max_batch_size' must be non-negative value")."""
    for model, config in case.models():
        if config.max_batch_size < 0:
            message = f"max_batch_size {config.max_batch_size} is below 0"
            place = case.origin(model, "max_batch_size")
            yield error(message, place, key=model.name, remedy="0 is for a model that does not batch")


@check("TS401", "preferred batch sizes are from 1 to max_batch_size")
def preferred_sizes_fit(case: Case) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateModelConfig, "dynamic batching preferred size")."""
    for model, config in case.models():
        for size in config.dynamic_batching.preferred_batch_size:
            if not 0 < size <= config.max_batch_size:
                message = f"preferred batch size {size} is not from 1 to max_batch_size ({config.max_batch_size})"
                place = case.origin(model, "dynamic_batching.preferred_batch_size")
                hint = f"raise max_batch_size to {size}, or leave {size} out"
                yield error(message, place, key=f"{model.name}.dynamic_batching", remedy=hint)


@check("TS402", "dynamic batching has a max_batch_size")
def batcher_has_room(case: Case) -> Iterator[Finding]:
    """Triton accepts it silently, batches nothing and ignores the queue delay (server#5215)."""
    for model, config in case.models():
        if config.HasField("dynamic_batching") and config.max_batch_size == 0:
            message = "dynamic_batching without max_batch_size batches nothing"
            place = case.origin(model, "dynamic_batching")
            yield warning(message, place, key=model.name, remedy="set max_batch_size, or leave dynamic_batching out")


@check("TS403", "a model that can batch does")
def batches_are_formed(case: Case) -> Iterator[Finding]:
    """Without a batcher every request runs alone: 17 queued requests were 17 executions, with one they were 3.

    A model that calls others (BLS) hands requests on: those that it calls form the batches.
    """
    calling = case.repository.settings.get("calls", {})
    for model, config in case.models():
        is_alone = config.WhichOneof("scheduling_choice") is None and model.name not in calling
        if is_alone and config.max_batch_size > 1 and config.platform != "ensemble":
            message = f"max_batch_size {config.max_batch_size} without a batcher: requests of clients run one by one"
            place = case.origin(model, "max_batch_size")
            yield warning(message, place, key=model.name, remedy="add an empty dynamic_batching")


@check("TS404", "a model whose tensors have a dynamic first axis says whether it batches")
def batching_is_chosen(case: Case) -> Iterator[Finding]:
    """An absent max_batch_size is 0: the first axis, though dynamic, is then the client's alone to fill."""
    for model, config in case.models():
        tensors = [list(tensor.dims) for _, tensor in boundary_of(config)]
        is_said = model.config is None or "max_batch_size" in model.origins
        if config.backend == "onnxruntime" and not is_said and all(dims[:1] == [-1] for dims in tensors):
            message = "every tensor has a dynamic first axis, yet without max_batch_size Triton batches nothing"
            hint = "set max_batch_size, and dynamic_batching; or max_batch_size: 0 if that is meant"
            yield note(message, case.origin(model), key=model.name, remedy=hint)
