"""Whether the dynamic batcher can do what it is asked to."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelQueuePolicy

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.completion import is_completed_later
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.fixes import RemoveField, SetField
from tritonsmith.generator.wiring import boundary_of

_PREFERRED = "dynamic_batching.preferred_batch_size"
_LONG_DELAY_US = 100_000
_TENSORRT = "tensorrt"


def written(model: ModelCase) -> ModelConfig:
    """Return the configuration as it is when Triton polls: before a backend has completed max_batch_size."""
    return model.config if model.model.config is None else model.model.config


@check(
    "TS405",
    "max_batch_size is not below 0",
    triton="'max_batch_size' must be non-negative value for {name}",
    stage=Stage.POLL,
    on=("max_batch_size",),
)
def batch_limits_are_whole(model: ModelCase) -> Iterator[Finding]:
    """A batch size is a number of requests; 0 says that the model does not batch.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    size = written(model).max_batch_size
    if size < 0:
        message = f"max_batch_size {size} is below 0"
        yield model.error("max_batch_size", message, remedy="0 is for a model that does not batch")


@check(
    "TS401",
    "preferred batch sizes are not above max_batch_size",
    triton="dynamic batching preferred size must be <= max batch size for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def preferred_sizes_fit(model: ModelCase) -> Iterator[Finding]:
    """The batcher never forms more than max_batch_size; one that the backend would only complete does not count yet.

    Source: core: model_config_utils.cc (ValidateModelConfig); onnxruntime_backend#148.
    """
    config = written(model)
    limit = config.max_batch_size
    for size in config.dynamic_batching.preferred_batch_size:
        if size > max(limit, 0):
            message = f"preferred batch size {size} is above max_batch_size ({limit})"
            hint = f"set max_batch_size to {size} or more, or leave {size} out"
            yield model.error(_PREFERRED, message, remedy=hint)


@check(
    "TS406",
    "preferred batch sizes are at least 1",
    triton="dynamic batching preferred size must be positive for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def preferred_sizes_are_sizes(model: ModelCase) -> Iterator[Finding]:
    """A batch holds at least one request.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    for size in model.config.dynamic_batching.preferred_batch_size:
        if size <= 0:
            yield model.error(_PREFERRED, f"preferred batch size {size} is below 1", remedy="leave it out")


@check(
    "TS407",
    "the default priority is one of the levels",
    triton="default priority level must be in range [1, {n}] for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def default_priority_is_a_level(model: ModelCase) -> Iterator[Finding]:
    """A request that names no priority gets the default one, which Triton does not choose itself.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    batcher = model.config.dynamic_batching
    levels, default = batcher.priority_levels, batcher.default_priority_level
    if levels and not 1 <= default <= levels:
        message = f"default_priority_level {default} is not from 1 to priority_levels ({levels})"
        yield model.error("dynamic_batching.default_priority_level", message, remedy=f"set it to 1 to {levels}")


@check(
    "TS408",
    "a queue policy is for one of the priority levels",
    triton="priority queue policy must have priority level in range [1, {n}] for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def policies_are_for_levels(model: ModelCase) -> Iterator[Finding]:
    """Priorities count from 1, the highest.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    batcher = model.config.dynamic_batching
    levels = batcher.priority_levels
    for level in sorted(batcher.priority_queue_policy) if levels else ():
        if not 1 <= level <= levels:
            path = f"dynamic_batching.priority_queue_policy.{level}"
            message = f"a queue policy is for priority {level}, which is not from 1 to priority_levels ({levels})"
            yield model.error(path, message, remedy=f"raise priority_levels, or use a level from 1 to {levels}")


@check(
    "TS409",
    "responses that keep the order have one priority",
    triton="Only one priority level is allowed when 'preserve_ordering' is true for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def order_has_one_priority(model: ModelCase) -> Iterator[Finding]:
    """A request of a higher priority overtakes others; their responses could then not keep the order of arrival.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    batcher = model.config.dynamic_batching
    if batcher.preserve_ordering and batcher.priority_levels > 1:
        message = f"preserve_ordering with {batcher.priority_levels} priority levels"
        yield model.error("dynamic_batching.preserve_ordering", message, remedy="leave one of the two out")


@check(
    "TS410",
    "responses that keep the order are not delayed",
    triton="Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for {name}",
    stage=Stage.POLL,
    on=("dynamic_batching",),
)
def order_has_no_delay(model: ModelCase) -> Iterator[Finding]:
    """A request that timed out under DELAY runs after all others, and its response would come out of order.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    if not model.config.dynamic_batching.preserve_ordering:
        return
    for path, policy in _policies(model.config):
        if policy.default_timeout_microseconds and policy.timeout_action == ModelQueuePolicy.DELAY:
            message = "timeout_action DELAY with preserve_ordering"
            yield model.error(f"{path}.timeout_action", message, remedy="use REJECT, or leave preserve_ordering out")


def _policies(config: ModelConfig) -> Iterator[tuple[str, ModelQueuePolicy]]:
    """Yield the queue policies and their paths: the default one, then those of priorities."""
    batcher = config.dynamic_batching
    if batcher.HasField("default_queue_policy"):
        yield "dynamic_batching.default_queue_policy", batcher.default_queue_policy
    for level in sorted(batcher.priority_queue_policy):
        yield f"dynamic_batching.priority_queue_policy.{level}", batcher.priority_queue_policy[level]


@check("TS402", "dynamic batching has a max_batch_size", on=("dynamic_batching",))
def batcher_has_room(model: ModelCase) -> Iterator[Finding]:
    """Triton accepts it silently, batches nothing and ignores the queue delay (server#5215)."""
    if model.config.max_batch_size == 0 and not _has_limit_later(model):
        message = "dynamic_batching without max_batch_size batches nothing"
        yield model.warning("dynamic_batching", message, remedy="set max_batch_size, or leave dynamic_batching out")


def _has_limit_later(model: ModelCase) -> bool:
    """Whether the backend may complete max_batch_size, which then is not written as 0."""
    return is_completed_later(model) and "max_batch_size" not in model.model.origins


@check("TS403", "a model that can batch does", on=("max_batch_size",))
def batches_are_formed(model: ModelCase) -> Iterator[Finding]:
    """Without a batcher every request runs alone: 17 queued requests were 17 executions, with one they were 3.

    A model that calls others (BLS) hands requests on: those that it calls form the batches.
    """
    config = model.config
    if config.max_batch_size < 2 or model.is_ensemble or config.WhichOneof("scheduling_choice") is not None:
        return
    if model.name not in model.case.repository.settings.get("calls", {}) and not is_completed_later(model):
        message = f"max_batch_size {config.max_batch_size} without a batcher: requests of clients run one by one"
        fix = SetField("dynamic_batching", "{ }")
        yield model.warning("max_batch_size", message, remedy="add an empty dynamic_batching", fix=fix)


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


@check("TS411", "clients' timeouts have a default to be smaller than", on=("dynamic_batching",))
def timeouts_can_be_overridden(model: ModelCase) -> Iterator[Finding]:
    """A request's timeout holds only where it is smaller than the default; 0, no default, is smaller than any.

    So the setting does nothing, and requests wait without a limit. Source: core: scheduler_utils.cc (Enqueue).
    """
    for path, policy in _policies(model.config):
        if policy.allow_timeout_override and not policy.default_timeout_microseconds:
            message = (
                "allow_timeout_override without default_timeout_microseconds: the timeouts of requests are ignored"
            )
            hint = "set default_timeout_microseconds to the longest that a request may ask for"
            yield model.warning(f"{path}.allow_timeout_override", message, remedy=hint)


@check("TS412", "priorities have levels", on=("dynamic_batching",))
def priorities_have_levels(model: ModelCase) -> Iterator[Finding]:
    """Without priority_levels Triton ignores the default priority and the policies of priorities.

    Source: core: dynamic_batch_scheduler.cc, scheduler_utils.cc (PriorityQueue).
    """
    batcher = model.config.dynamic_batching
    if batcher.priority_levels:
        return
    for field in ("default_priority_level", "priority_queue_policy"):
        if getattr(batcher, field):
            path = f"dynamic_batching.{field}"
            message = f"{field} without priority_levels is ignored"
            hint = "set priority_levels, or leave it out"
            yield model.warning(path, message, remedy=hint, fix=RemoveField(path))


@check("TS413", "batches are as large as they may", on=("dynamic_batching",))
def batches_are_not_capped(model: ModelCase) -> Iterator[Finding]:
    """Without a queue delay the batcher stops at the largest preferred size: [4] of 64 ran batches of 4.

    With a delay preferred sizes are neither a limit nor a promise: [4, 8] ran a batch of 13. They are for TensorRT
    engines with several profiles, of which nothing is said but a note.

    Source: core: dynamic_batch_scheduler.cc (GetDynamicBatch); server#8141.
    """
    batcher, limit = model.config.dynamic_batching, model.config.max_batch_size
    largest = max(batcher.preferred_batch_size, default=0)
    if not 0 < largest < limit:
        return
    if batcher.max_queue_delay_microseconds:
        if model.config.backend != _TENSORRT:
            message = f"with a queue delay preferred batch sizes neither cap batches at {largest} nor make them so"
            yield model.note(_PREFERRED, message, remedy="leave preferred_batch_size out")
        return
    tell = model.note if model.config.backend == _TENSORRT else model.warning
    message = f"preferred batch sizes up to {largest} cap batches: max_batch_size is {limit}"
    yield tell(_PREFERRED, message, remedy="leave preferred_batch_size out, or set a queue delay")


@check("TS414", "a request waits shortly for others", on=("dynamic_batching", "sequence_batching"))
def delays_are_short(model: ModelCase) -> Iterator[Finding]:
    """An idle model's single request waits for the whole delay before it runs: 0.61 s with one of 300 ms, 0.12 without.

    From 100 ms on it is more than most models compute, or was meant in other units.

    Source: core: dynamic_batch_scheduler.cc (GetDynamicBatch), sequence_batch_scheduler.cc (DirectSequenceBatch).
    """
    for path, delay_us in _delays_us(model.config) if model.config.max_batch_size > 1 else ():
        if delay_us >= _LONG_DELAY_US:
            message = f"a lone request waits {delay_us / 1e6:g} s for others: {delay_us} is in microseconds"
            remedy = "use what a request may wait, e.g. 1000 for a millisecond"
            yield model.warning(f"{path}.max_queue_delay_microseconds", message, remedy=remedy)


def _delays_us(config: ModelConfig) -> Iterator[tuple[str, int]]:
    """Yield the schedulers in which a lone request waits, and how long."""
    for path, batcher in (
        ("dynamic_batching", config.dynamic_batching),
        ("sequence_batching.oldest", config.sequence_batching.oldest),
    ):
        if 1 not in batcher.preferred_batch_size:  # such a request is what the batcher prefers
            yield path, batcher.max_queue_delay_microseconds
    direct = config.sequence_batching.direct
    if direct.minimum_slot_utilization > 0:  # else nothing waits
        yield "sequence_batching.direct", direct.max_queue_delay_microseconds


@check("TS415", "requests that wait for others have the same inputs", on=("dynamic_batching",))
def optional_inputs_split_batches(model: ModelCase) -> Iterator[Finding]:
    """Only requests with the same inputs run in one batch; one that differs in an optional input ends it.

    Source: core: scheduler_utils.cc (RequiredEqualInputs).
    """
    if not _waits_for_others(model):
        return
    optional = [(index, tensor.name) for index, tensor in enumerate(model.config.input) if tensor.optional]
    if optional:
        index, name = optional[0]
        others = f" and {len(optional) - 1} more" if len(optional) > 1 else ""
        message = f"'{name}'{others} may be missing: only requests with the same inputs are batched"
        yield model.note(f"input[{index}].optional", message, remedy="let clients always send it, with a default")


@check("TS416", "requests that are batched have the same shapes", on=("dynamic_batching",))
def variable_inputs_split_batches(model: ModelCase) -> Iterator[Finding]:
    """An input of variable size batches only with those of the same shape, unless allow_ragged_batch is set.

    Without a queue delay, too: then those that queue up behind a running batch are batched. An input that is always
    fed from another step's output of one size is left alone.

    Source: core: backend_model.cc (SetConfiguredScheduler), scheduler_utils.cc (HasEqualInputs).
    """
    if model.config.max_batch_size < 2:
        return
    for index, tensor in enumerate(model.config.input):
        if -1 not in tensor.dims or tensor.allow_ragged_batch:
            continue
        if (model.name, tensor.name) not in model.case.once(_inputs_of_one_size):
            message = f"'{tensor.name}' varies, {list(tensor.dims)}: only requests of the same shape are batched"
            hint = "let clients pad it, or set allow_ragged_batch where the model takes ragged batches"
            yield model.note(f"input[{index}].dims", message, remedy=hint)
            return


def _inputs_of_one_size(case: Case) -> frozenset[tuple[str, str]]:
    """Return the inputs, as model and name, that ensembles feed from outputs whose dims are all fixed."""
    sizes: dict[tuple[str, str], bool] = {}
    for ensemble in case.models():
        steps = ensemble.config.ensemble_scheduling.step
        fixed = {
            tensor
            for step in steps
            for name, tensor in step.output_map.items()
            if (config := case.configs.get(step.model_name)) is not None
            and any(output.name == name and -1 not in output.dims for output in config.output)
        }
        for step in steps:
            for name, tensor in step.input_map.items():
                key = (step.model_name, name)
                sizes[key] = sizes.get(key, True) and tensor in fixed
    return frozenset(key for key, is_fixed in sizes.items() if is_fixed)


def _waits_for_others(model: ModelCase) -> bool:
    """Whether requests are held back to be batched, so that it matters which can be."""
    batcher = model.config.dynamic_batching
    return model.config.max_batch_size > 1 and batcher.max_queue_delay_microseconds > 0


@check("TS417", "a timeout is set where something shall follow from it", on=("dynamic_batching",))
def delayed_requests_time_out(model: ModelCase) -> Iterator[Finding]:
    """timeout_action says what follows from a timeout; without one it never happens."""
    for path, policy in _policies(model.config):
        never = not policy.default_timeout_microseconds and not policy.allow_timeout_override
        if never and policy.timeout_action == ModelQueuePolicy.DELAY:
            message = "timeout_action DELAY without default_timeout_microseconds: no request times out"
            yield model.note(f"{path}.timeout_action", message, remedy="set default_timeout_microseconds")


@check("TS418", "a queue's timeout is no limit of the waiting", on=("dynamic_batching",))
def timeouts_are_seen_late(model: ModelCase) -> Iterator[Finding]:
    """A queue is looked through when a batch is formed: behind an execution of 90 s a request times out after 90 s.

    Only the client can bound its waiting, so it is a note.

    Source: core: scheduler_utils.cc (PriorityQueue); server#7512.
    """
    for path, policy in _policies(model.config):
        if policy.default_timeout_microseconds:
            message = "timeouts are looked at when a batch is formed: behind a long execution a request waits for it"
            hint = "let clients have a timeout of their own"
            yield model.note(f"{path}.default_timeout_microseconds", message, remedy=hint)


@check("TS419", "a model's batch limit is chosen", on=("max_batch_size",))
def limits_are_chosen(model: ModelCase) -> Iterator[Finding]:
    """Triton completes an ONNX model whose tensors all begin with a dynamic axis: max_batch_size 4, a dynamic batcher.

    Larger requests are then refused; a limit of 0 counts as none. Of a model without a config.pbtxt, which leaves all
    to Triton, it is a note.

    Source: core: backend_model.cc (SetBackendConfigDefaults); server: docs/user_guide/model_configuration.md.
    """
    config, said = model.config, model.model.config
    if config.backend == "onnxruntime" and not (said is not None and said.max_batch_size):
        tell = model.note if said is None else model.warning
        message = f"without a max_batch_size Triton takes {config.max_batch_size}, and refuses larger requests"
        yield tell("", message, remedy="say max_batch_size, and dynamic_batching")
