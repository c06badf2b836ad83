"""Whether the implicit states of sequences can be kept: their initial values, names and memory."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup, ModelSequenceBatching

from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.checks.rules.shapes import SIZED_SINCE, can_be_allocated, size_bytes, size_of_file
from tritonsmith.generator.checks.rules.warmup import negative_samples
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.fixes import SetField

_ON = ("sequence_batching",)
_FOLDER = "initial_state"


def _states(model: ModelCase) -> Iterator[tuple[str, ModelSequenceBatching.State]]:
    for index, state in enumerate(model.config.sequence_batching.state):
        yield f"sequence_batching.state[{index}]", state


def _initial_states(
    model: ModelCase,
) -> Iterator[tuple[str, ModelSequenceBatching.State, ModelSequenceBatching.InitialState]]:
    """Yield each state that has one initial state, with that and its path."""
    for path, state in _states(model):
        if len(state.initial_state) == 1:
            yield f"{path}.initial_state[0]", state, state.initial_state[0]


@check(
    "TS435",
    "a state has at most one initial state",
    triton="initial_state field for state input '{name}' must contain exactly one or zero element. "
    "Found '{n}' elements.",
    on=_ON,
)
def states_begin_once(model: ModelCase) -> Iterator[Finding]:
    """A sequence begins with one value of the state.

    Source: core: sequence_batch_scheduler.cc (Create).
    """
    for path, state in _states(model):
        if len(state.initial_state) > 1:
            message = f"state '{state.input_name}' has {len(state.initial_state)} initial states"
            yield model.error(f"{path}.initial_state[1]", message, remedy="keep one")


@check(
    "TS436",
    "an initial state has the state's type",
    triton="The data type used for 'initial_state' field of state '{name}' does not match the state data type.",
    on=_ON,
)
def initial_states_have_the_type(model: ModelCase) -> Iterator[Finding]:
    """The initial state is the first value of the state.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        if initial.data_type != state.data_type:
            types = f"{enum_name(DataType, initial.data_type)}, the state {enum_name(DataType, state.data_type)}"
            message = f"the initial state of '{state.input_name}' has {types}"
            yield model.error(f"{path}.data_type", message, remedy="give both one type")


@check(
    "TS437",
    "an initial state has a name",
    triton="Field 'name' must be set when using initial_state for state input '{name}'.",
    on=_ON,
)
def initial_states_have_names(model: ModelCase) -> Iterator[Finding]:
    """Triton asks for a name, which appears in its log.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        if not initial.name:
            message = f"the initial state of '{state.input_name}' has no name"
            yield model.error(path, message, remedy='add name: "..."')


@check(
    "TS438",
    "a state with an initial state is described once",
    triton="State input name '{name}' specified more than once.",
    on=_ON,
)
def initial_states_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """A state begins with one value.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    seen: set[str] = set()
    for path, state, _ in _initial_states(model):
        if state.input_name in seen:
            path = path.rpartition(".")[0]
            message = f"a second state with the input '{state.input_name}' and an initial state"
            yield model.error(f"{path}.input_name", message, remedy="give each state an input of its own")
        seen.add(state.input_name)


@check(
    "TS439",
    "an initial state has as many dims as the state",
    triton="Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input "
    "'{name}'. {n} != {n}",
    on=_ON,
)
def initial_states_have_the_dims(model: ModelCase) -> Iterator[Finding]:
    """The initial state is one value of the state, so that both have the same shape.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        if len(initial.dims) != len(state.dims):
            message = (
                f"the initial state of '{state.input_name}' has dims {list(initial.dims)}, the state {list(state.dims)}"
            )
            yield model.error(f"{path}.dims", message, remedy="write as many dims as the state has")


@check(
    "TS440",
    "the dims of an initial state are sizes",
    triton="'initial_state' field for state input name '{name}' contains variable dimensions.",
    on=_ON,
)
def initial_states_are_sized(model: ModelCase) -> Iterator[Finding]:
    """Triton allocates the initial state when it loads the model.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        if -1 in initial.dims:
            message = f"the initial state of '{state.input_name}' has variable dims {list(initial.dims)}"
            yield model.error(f"{path}.dims", message, remedy="write the sizes with which a sequence begins")


@check(
    "TS441",
    "the dims of an initial state are the state's",
    triton="'initial_state' dim for input name '{name}' doesn't match 'state' dim description. {n} != {n}",
    on=_ON,
)
def initial_states_fit(model: ModelCase) -> Iterator[Finding]:
    """The initial state is one value of the state; where that has -1 any size will do.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        for given, declared in zip(initial.dims, state.dims, strict=False):
            if -1 not in (given, declared) and given != declared:
                message = f"the initial state of '{state.input_name}' has {given} where the state has {declared}"
                yield model.error(f"{path}.dims", message, remedy="write the state's dims")
                break


@check(
    "TS442",
    "an initial state has data",
    triton="initial_state setting expects state'{name}' to have state_data set",
    on=_ON,
)
def initial_states_have_data(model: ModelCase) -> Iterator[Finding]:
    """Of an initial state Triton must know whether it is zeros or read from a file.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        if initial.WhichOneof("state_data") is None:
            message = f"the initial state of '{state.input_name}' has no data"
            yield model.error(path, message, remedy="add zero_data: true, or a data_file")


@check(
    "TS443",
    "the file of an initial state is long enough",
    triton="initial_state setting expects {n} bytes, but the data provided from {path}only has {n} bytes.",
    on=_ON,
)
def initial_files_are_long_enough(model: ModelCase) -> Iterator[Finding]:
    """The file holds the raw bytes of the state's elements.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        if initial.WhichOneof("state_data") != "data_file" or initial.data_type == DataType.TYPE_STRING:
            continue
        given = size_of_file(model.model, _FOLDER, initial.data_file)
        wanted = size_bytes(initial.data_type, initial.dims)
        if given is not None and given < wanted:
            message = f"'{initial.data_file}' has {given} bytes, the initial state of '{state.input_name}' {wanted}"
            yield model.error(f"{path}.data_file", message, remedy=f"write all {wanted} bytes into the file")


@check(
    "TS444",
    "the dims of what Triton makes up are not below 0",
    triton="tensor '{name}' contains an invalid dimension {shape}",
    on=("sequence_batching", "model_warmup"),
)
def made_up_sizes_are_whole(model: ModelCase) -> Iterator[Finding]:
    """Since 26.03 Triton refuses such dims of initial states and warm-up samples; before, it asked for the memory.

    Source: core: model_config_utils.h (GetByteSize), core#475.
    """
    if model.target.release.name < SIZED_SINCE:
        return
    yield from negative_samples(model)
    for path, state, initial in _initial_states(model):
        if min(initial.dims, default=0) < -1:
            message = f"the initial state of '{state.input_name}' has dims {list(initial.dims)}"
            yield model.error(f"{path}.dims", message, remedy="write the sizes with which a sequence begins")


@check("TS450", "the memory of an initial state can be had", phase=Phase.CRASH, on=_ON)
def initial_states_can_be_allocated(model: ModelCase) -> Iterator[Finding]:
    """Triton writes the initial state without asking whether it got the memory, and ends.

    Source: core: sequence_batch_scheduler.cc (GenerateInitialStateData).
    """
    for path, state, initial in _initial_states(model):
        is_refused = model.target.release.name >= SIZED_SINCE and min(initial.dims, default=0) < -1
        if not is_refused and not can_be_allocated(initial.data_type, initial.dims):
            message = f"no memory can be had for the initial state of '{state.input_name}': {list(initial.dims)}"
            yield model.error(f"{path}.dims", message, remedy="write the sizes with which a sequence begins")


@check("TS445", "a state says its input, its type and sizes", phase=Phase.REQUEST, on=_ON)
def states_can_be_allocated(model: ModelCase) -> Iterator[Finding]:
    """Triton allocates a state at a sequence's first request; without a name or a type the server or its model's
    process ends then.

    Source: core: sequence_state.cc (SequenceStates::Initialize).
    """
    for path, state in _states(model):
        if not state.input_name:
            message, hint = "a state without input_name: the server ends at the first request", "add input_name"
        elif state.data_type not in BY_NUMBER:
            message, hint = (
                f"state '{state.input_name}' has no data_type: its memory cannot be allocated",
                "add data_type",
            )
        elif min(state.dims, default=1) < -1:
            message = f"state '{state.input_name}' has dims {list(state.dims)}: its memory cannot be allocated"
            hint = "write sizes, or -1 for one that varies"
        else:
            continue
        yield model.error(path, message, remedy=hint)


@check("TS446", "a state has an output", on=_ON)
def states_have_outputs(model: ModelCase) -> Iterator[Finding]:
    """What the model writes under output_name is what the next request of the sequence reads; without a name there is
    nothing to write to, and the state keeps its first value.
    """
    for path, state in _states(model):
        if state.input_name and not state.output_name:
            message = f"state '{state.input_name}' has no output_name: it keeps its first value"
            yield model.warning(path, message, remedy="add output_name")


@check("TS447", "states have names of their own", on=_ON)
def states_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """Triton ignores a state whose input or output name another has, with a warning in its log.

    Source: core: sequence_state.cc (SequenceStates::Initialize).
    """
    for field in ("input_name", "output_name"):
        seen: set[str] = set()
        for path, state in _states(model):
            name = getattr(state, field)
            if name and name in seen:
                message = f"a second state with the {field} '{name}': one of the two is ignored"
                yield model.warning(f"{path}.{field}", message, remedy="give each state names of its own")
            seen.add(name)


@check("TS448", "growing states share their memory", phase=Phase.REQUEST, on=_ON)
def growing_states_share_memory(model: ModelCase) -> Iterator[Finding]:
    """Triton loads the model, and at each sequence's first request logs that its states cannot be made: there are none.

    Source: core: sequence_state.cc (SequenceStates::Initialize).
    """
    for path, state in _states(model):
        if state.use_growable_memory and not state.use_same_buffer_for_input_output:
            message = (
                f"state '{state.input_name}' grows, and its output has a buffer of its own: there will be no states"
            )
            hint = "set use_same_buffer_for_input_output: true"
            fix = SetField(f"{path}.use_same_buffer_for_input_output", "true")
            yield model.error(f"{path}.use_growable_memory", message, remedy=hint, fix=fix)


@check("TS449", "growing states are on a GPU", phase=Phase.REQUEST, on=_ON)
def growing_states_are_on_gpus(model: ModelCase) -> Iterator[Finding]:
    """The memory that grows is CUDA's; on a CPU Triton loads the model and makes no states.

    Source: core: sequence_state.cc (SequenceStates::Initialize).
    """
    for path, state in _states(model):
        if state.use_growable_memory and _is_off_gpus(model):
            message = f"state '{state.input_name}' grows, which works with KIND_GPU alone: there will be no states"
            hint = "use KIND_GPU, or leave use_growable_memory out"
            yield model.error(f"{path}.use_growable_memory", message, remedy=hint)


def _is_off_gpus(model: ModelCase) -> bool:
    """Whether some instance is not on a GPU, as far as is known."""
    kinds = {group.kind for group in model.config.instance_group} or {ModelInstanceGroup.KIND_AUTO}
    if kinds & {ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL}:
        return True
    return ModelInstanceGroup.KIND_AUTO in kinds and model.target.gpus == 0
