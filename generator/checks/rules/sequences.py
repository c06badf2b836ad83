"""Whether the sequence batcher can do what it is asked to: controls, direct and oldest. States are in states.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonclient.grpc.model_config_pb2 import DataType, ModelSequenceBatching

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.batching import written
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.findings import Finding

_ON = ("sequence_batching",)
_Control = ModelSequenceBatching.Control
_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
# Triton looks for these alone; a number without a name is ignored.
_FLAGS = frozenset({_Control.CONTROL_SEQUENCE_START, _Control.CONTROL_SEQUENCE_END, _Control.CONTROL_SEQUENCE_READY})
_CORRELATION_ID_TYPES = frozenset(
    {DataType.TYPE_UINT64, DataType.TYPE_INT64, DataType.TYPE_UINT32, DataType.TYPE_INT32, DataType.TYPE_STRING}
)


def _controls(model: ModelCase) -> Iterator[tuple[str, ModelSequenceBatching.Control]]:
    """Yield every control and its path."""
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        for inner, control in enumerate(tensor.control):
            yield f"sequence_batching.control_input[{index}].control[{inner}]", control


def _flags(model: ModelCase) -> Iterator[tuple[str, ModelSequenceBatching.Control, Sequence[str]]]:
    """Yield every control that is false or true, its path, and which lists of values it has."""
    for path, control in _controls(model):
        if control.kind in _FLAGS:
            yield path, control, [field for field in _VALUES if getattr(control, field)]


@check(
    "TS421",
    "a control tensor has a name",
    triton="sequence batching control tensor must have a name for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def controls_have_names(model: ModelCase) -> Iterator[Finding]:
    """Triton hands the control to the model as an input of this name.

    Source: core: model_config_utils.cc (GetBooleanSequenceControlProperties).
    """
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        if not tensor.name:
            path = f"sequence_batching.control_input[{index}]"
            yield model.error(path, "a control input without a name", remedy="add the name of the model's input")


@check(
    "TS422",
    "each control tensor is described once",
    triton="sequence batching control tensor '{name}' is specified for multiple control kinds for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def controls_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """One tensor carries one control.

    Source: core: model_config_utils.cc (GetBooleanSequenceControlProperties).
    """
    seen: set[str] = set()
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        if tensor.name and tensor.name in seen:
            path = f"sequence_batching.control_input[{index}].name"
            message = f"a second control input '{tensor.name}'"
            yield model.error(path, message, remedy="give each control a tensor of its own")
        seen.add(tensor.name)


@check(
    "TS423",
    "each control has one tensor",
    triton="sequence batching specifies multiple {name} tensors for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def controls_are_sent_once(model: ModelCase) -> Iterator[Finding]:
    """A control's value goes to one tensor.

    Source: core: model_config_utils.cc (GetBooleanSequenceControlProperties, GetTypedSequenceControlProperties).
    """
    seen: set[int] = set()
    for path, control in _controls(model):
        if control.kind in seen:
            message = f"a second tensor for {enum_name(_Control.Kind, control.kind)}"
            yield model.error(f"{path}.kind", message, remedy="keep one of the two")
        elif control.kind in _Control.Kind.values():
            seen.add(control.kind)


@check(
    "TS424",
    "a control says what false and true are",
    triton="sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
    "{name} for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def controls_have_values(model: ModelCase) -> Iterator[Finding]:
    """The list also says the tensor's type; the model has no other way to know it.

    Source: core: model_config_utils.cc (GetBooleanSequenceControlProperties).
    """
    for path, control, given in _flags(model):
        if not given:
            message = f"{enum_name(_Control.Kind, control.kind)} does not say what false and true are"
            yield model.error(path, message, remedy="add e.g. int32_false_true: [ 0, 1 ]")


@check(
    "TS425",
    "a control has values of one type",
    triton="sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' "
    "for {name} for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def controls_have_one_type(model: ModelCase) -> Iterator[Finding]:
    """The list says the tensor's type, so there can be one.

    Source: core: model_config_utils.cc (GetBooleanSequenceControlProperties).
    """
    for path, control, given in _flags(model):
        if len(given) > 1:
            message = f"{enum_name(_Control.Kind, control.kind)} has {' and '.join(given)}"
            yield model.error(path, message, remedy="keep the one of the model's type")


@check(
    "TS426",
    "a control has one value for false and one for true",
    triton="sequence batching control '{name}' must have exactly 2 entries for {name} for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def controls_have_two_values(model: ModelCase) -> Iterator[Finding]:
    """The first entry is sent for false, the second for true.

    Source: core: model_config_utils.cc (GetBooleanSequenceControlProperties).
    """
    for path, control, given in _flags(model):
        values = list(getattr(control, given[0])) if len(given) == 1 else [0, 0]
        if len(values) != 2:
            message = f"{given[0]} has {len(values)} entries: {values}"
            yield model.error(f"{path}.{given[0]}", message, remedy="write two: what false is, what true is")


@check(
    "TS427",
    "a correlation id has an integer type or TYPE_STRING",
    triton="unexpected data type for control CONTROL_SEQUENCE_CORRID for {name}. Allowed data types are TYPE_UINT64, "
    "TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
    stage=Stage.POLL,
    on=_ON,
)
def correlation_ids_have_a_known_type(model: ModelCase) -> Iterator[Finding]:
    """Correlation ids are numbers or strings.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    for path, control in _controls(model):
        if control.kind == _Control.CONTROL_SEQUENCE_CORRID and control.data_type not in _CORRELATION_ID_TYPES:
            said = enum_name(DataType, control.data_type) if control.data_type else "no data_type"
            message = f"the correlation id has {said}"
            yield model.error(f"{path}.data_type", message, remedy="use TYPE_UINT64, or TYPE_STRING for names")


@check(
    "TS428",
    "a correlation id has no false and true",
    triton="sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
    "{name} for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def correlation_ids_are_no_flags(model: ModelCase) -> Iterator[Finding]:
    """A correlation id is sent as it is.

    Source: core: model_config_utils.cc (GetTypedSequenceControlProperties).
    """
    for path, control in _controls(model):
        if control.kind != _Control.CONTROL_SEQUENCE_CORRID:
            continue
        for field in _VALUES:
            if getattr(control, field):
                message = f"CONTROL_SEQUENCE_CORRID has {field}"
                yield model.error(f"{path}.{field}", message, remedy="leave it out, and set data_type")


@check(
    "TS429",
    "preferred batch sizes of sequences are at least 1",
    triton="sequence batching preferred batch size must be positive for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def preferred_sizes_are_sizes(model: ModelCase) -> Iterator[Finding]:
    """A batch holds at least one request.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    for size in model.config.sequence_batching.oldest.preferred_batch_size:
        if size <= 0:
            path = "sequence_batching.oldest.preferred_batch_size"
            yield model.error(path, f"preferred batch size {size} is below 1", remedy="leave it out")


@check(
    "TS430",
    "preferred batch sizes of sequences are not above max_batch_size",
    triton="sequence batching preferred batch size must be <= max batch size for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def preferred_sizes_fit(model: ModelCase) -> Iterator[Finding]:
    """No batch has more than max_batch_size requests; one that the backend would only complete does not count yet.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    config = written(model)
    limit = config.max_batch_size
    for size in config.sequence_batching.oldest.preferred_batch_size:
        if size > max(limit, 0):
            path = "sequence_batching.oldest.preferred_batch_size"
            message = f"preferred batch size {size} is above max_batch_size ({limit})"
            yield model.error(path, message, remedy=f"set max_batch_size to {size} or more, or leave {size} out")


@check(
    "TS431",
    "the minimum slot utilization is from 0 to 1",
    triton="sequence batching minimum slot utilization must be in range (0.0, 1.0] for {name}",
    stage=Stage.POLL,
    on=_ON,
)
def slot_utilization_is_a_share(model: ModelCase) -> Iterator[Finding]:
    """It is the share of a batch's slots that must be ready before the batch runs early.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    share = model.config.sequence_batching.direct.minimum_slot_utilization
    if share < 0 or share > 1:
        path = "sequence_batching.direct.minimum_slot_utilization"
        yield model.error(path, f"minimum_slot_utilization {share:g} is not from 0 to 1", remedy="0.5 is half a batch")


@check("TS432", "candidate sequences are counted from 0", on=_ON)
def candidates_are_counted(model: ModelCase) -> Iterator[Finding]:
    """Triton takes a number below 0 for none given, and then follows max_batch_size sequences at once.

    Source: core: sequence_batch_scheduler.cc (Create).
    """
    count = model.config.sequence_batching.oldest.max_candidate_sequences
    if count < 0:
        path = "sequence_batching.oldest.max_candidate_sequences"
        message = f"max_candidate_sequences {count} is taken for 0, which is max_batch_size"
        yield model.warning(path, message, remedy="set how many sequences each instance shall follow at once")


@check("TS433", "control tensors are no inputs of clients", on=_ON)
def controls_are_no_inputs(model: ModelCase) -> Iterator[Finding]:
    """Triton writes the control over what the client sends under that name, and still requires the client to send it.

    Source: core: sequence_batch_scheduler.cc (AddOverrideInput), infer_request.cc.
    """
    inputs = {tensor.name for tensor in model.config.input}
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        if tensor.name in inputs and tensor.name:
            path = f"sequence_batching.control_input[{index}].name"
            message = f"control input '{tensor.name}' is also an input: clients must send it, and Triton overwrites it"
            yield model.warning(path, message, remedy="take it out of input, or name the control differently")


@check("TS434", "a control input carries a control", on=_ON)
def control_inputs_carry_controls(model: ModelCase) -> Iterator[Finding]:
    """Triton takes a control input that says no control, and never sends it to the model."""
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        if tensor.name and not tensor.control:
            path = f"sequence_batching.control_input[{index}]"
            message = f"control input '{tensor.name}' says no control: it is never sent"
            yield model.warning(path, message, remedy="add control { kind: ... }, or leave it out")
