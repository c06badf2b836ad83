"""Whether ragged batches, batch inputs and batch outputs say what Triton must know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonclient.grpc.model_config_pb2 import BatchInput, BatchOutput, DataType

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.suggest import did_you_mean

_TAKES = "name one input of the model as source_input"


@check(
    "TS331",
    "a batch input is made of one input",
    triton="batch input kind '{name}' expects 1 source input, got {n} for {name}",
    stage=Stage.IO,
    on=("batch_input",),
)
def batch_inputs_have_one_source(model: ModelCase) -> Iterator[Finding]:
    """Triton computes a batch input from the shapes of one input's requests.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    for index, made in enumerate(model.config.batch_input):
        if len(made.source_input) != 1:
            kind = enum_name(BatchInput.Kind, made.kind)
            message = f"{kind} has {len(made.source_input)} source inputs, it takes one"
            yield model.error(f"batch_input[{index}].source_input", message, remedy=_TAKES)


@check(
    "TS332",
    "a batch input is TYPE_INT32 or TYPE_FP32",
    triton="batch input data type must be TYPE_INT32 or TYPE_FP32 for {name}",
    stage=Stage.IO,
    on=("batch_input",),
)
def batch_inputs_have_a_known_type(model: ModelCase) -> Iterator[Finding]:
    """Triton writes counts and shapes in these two types alone.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    for index, made in enumerate(model.config.batch_input):
        if made.data_type not in (DataType.TYPE_INT32, DataType.TYPE_FP32):
            said = enum_name(DataType, made.data_type) if made.data_type else "no data_type"
            message = f"the batch input has {said}; Triton writes TYPE_INT32 or TYPE_FP32"
            yield model.error(f"batch_input[{index}].data_type", message, remedy="write data_type: TYPE_INT32")


@check(
    "TS333",
    "batch inputs and outputs are made of inputs that there are",
    triton="unknown source input name '{name}' for {name}",
    stage=Stage.IO,
    on=("batch_input", "batch_output"),
)
def sources_are_inputs(model: ModelCase) -> Iterator[Finding]:
    """A source is looked up among the model's inputs.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    names = {tensor.name for tensor in model.config.input}
    for field in ("batch_input", "batch_output"):
        for index, made in enumerate(getattr(model.config, field)):
            for source in made.source_input:
                if source not in names:
                    message = f"source input '{source}' is no input of the model"
                    hint = f"name one of the model's inputs.{did_you_mean(source, names)}"
                    yield model.error(f"{field}[{index}].source_input", message, remedy=hint)


@check(
    "TS334",
    "a batch output is scattered by one input",
    triton="batch output kind '{name}' expects 1 source input, got {n} for {name}",
    stage=Stage.IO,
    on=("batch_output",),
)
def batch_outputs_have_one_source(model: ModelCase) -> Iterator[Finding]:
    """The output is cut into responses by the shape of one input.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    for index, made in enumerate(model.config.batch_output):
        if len(made.source_input) != 1:
            kind = enum_name(BatchOutput.Kind, made.kind)
            message = f"{kind} has {len(made.source_input)} source inputs, it takes one"
            yield model.error(f"batch_output[{index}].source_input", message, remedy=_TAKES)


@check(
    "TS335",
    "a batch output is an output that there is",
    triton="unknown target output name '{name}' for {name}",
    stage=Stage.IO,
    on=("batch_output",),
)
def targets_are_outputs(model: ModelCase) -> Iterator[Finding]:
    """What is scattered is looked up among the model's outputs.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    names = {tensor.name for tensor in model.config.output}
    for index, made in enumerate(model.config.batch_output):
        for target in made.target_name:
            if target not in names:
                message = f"target output '{target}' is no output of the model"
                hint = f"name one of the model's outputs.{did_you_mean(target, names)}"
                yield model.error(f"batch_output[{index}].target_name", message, remedy=hint)


@check(
    "TS336",
    "a batch output names each of its targets once",
    triton="target output name '{name}' can only be specified once for {name}",
    stage=Stage.IO,
    on=("batch_output",),
)
def targets_are_named_once(model: ModelCase) -> Iterator[Finding]:
    """An output can be scattered in one way.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    for index, made in enumerate(model.config.batch_output):
        targets = list(made.target_name)
        for target in sorted({target for target in targets if targets.count(target) > 1}):
            message = f"target output '{target}' is named {targets.count(target)} times"
            yield model.error(f"batch_output[{index}].target_name", message, remedy="name it once")


@check("TS343", "a batch output has a target", stage=Stage.INIT, phase=Phase.CRASH, on=("batch_output",))
def batch_outputs_have_targets(model: ModelCase) -> Iterator[Finding]:
    """The library that every backend is made with takes the first target_name without looking whether there is one.

    Source: backend: backend_common.cc (BatchOutput::ParseFromModelConfig).
    """
    for index, made in enumerate(model.config.batch_output):
        if not made.target_name and model.config.output:
            message = "the batch output has no target_name, and looking for it ends the server"
            yield model.error(f"batch_output[{index}]", message, remedy="name the model's output as target_name")


@check("TS337", "a batch input has a target", stage=Stage.IO, on=("batch_input",))
def batch_inputs_have_targets(model: ModelCase) -> Iterator[Finding]:
    """Triton takes a batch input without target_name and hands nothing to the model: no tensor has its name."""
    for index, made in enumerate(model.config.batch_input):
        if not made.target_name:
            message = "the batch input has no target_name: Triton computes it, and no tensor takes it"
            yield model.warning(f"batch_input[{index}]", message, remedy="name the model's tensor as target_name")


@check("TS338", "ragged inputs are batched", stage=Stage.IO, on=("input",))
def ragged_inputs_are_batched(model: ModelCase) -> Iterator[Finding]:
    """Without max_batch_size there is no batch to be ragged; Triton takes the setting silently."""
    if model.config.max_batch_size:
        return
    for index, tensor in enumerate(model.config.input):
        if tensor.allow_ragged_batch:
            message = f"input '{tensor.name}' allows ragged batches, and the model does not batch"
            hint = "set max_batch_size and dynamic_batching, or leave allow_ragged_batch out"
            yield model.warning(f"input[{index}].allow_ragged_batch", message, remedy=hint)


@check("TS339", "a model of ragged inputs is told where each begins", stage=Stage.IO, on=("input",))
def ragged_inputs_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """Ragged inputs reach the backend as one row of elements; batch_input says where each request's begin.

    Python models get each request on its own, and need no such tensor.
    Source: server: docs/user_guide/ragged_batching.md.
    """
    config = model.config
    if config.batch_input or not config.max_batch_size or config.backend == "python":
        return
    for index, tensor in enumerate(config.input):
        if tensor.allow_ragged_batch and config.backend in ("onnxruntime", "tensorrt", "pytorch", "tensorflow"):
            message = f"input '{tensor.name}' allows ragged batches, and no batch_input says where each request begins"
            hint = f'add batch_input {{ kind: BATCH_ACCUMULATED_ELEMENT_COUNT source_input: "{tensor.name}" ... }}'
            yield model.note(f"input[{index}].allow_ragged_batch", message, remedy=hint)


@check(
    "TS340",
    "a batch input has a known kind",
    triton="unknown batch input kind '' for {name}",
    stage=Stage.IO,
    on=("batch_input",),
)
def batch_inputs_have_a_known_kind(model: ModelCase) -> Iterator[Finding]:
    """A configuration may give a kind as a number, also one that no kind has.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    yield from _unknown_kinds(model, "batch_input", BatchInput.Kind)


@check(
    "TS341",
    "a batch output has a known kind",
    triton="unknown batch output kind '' for {name}",
    stage=Stage.IO,
    on=("batch_output",),
)
def batch_outputs_have_a_known_kind(model: ModelCase) -> Iterator[Finding]:
    """A configuration may give a kind as a number, also one that no kind has.

    Source: core: model_config_utils.cc (ValidateBatchIO).
    """
    yield from _unknown_kinds(model, "batch_output", BatchOutput.Kind)


def _unknown_kinds(model: ModelCase, field: str, kinds: Any) -> Iterator[Finding]:
    for index, made in enumerate(getattr(model.config, field)):
        if made.kind not in kinds.values():
            message = f"{field} has the kind {made.kind}, which is none"
            yield model.error(f"{field}[{index}].kind", message, remedy=f"use e.g. {kinds.keys()[0]}")


@check(
    "TS342",
    "batch inputs and outputs say kinds and types that have names",
    triton="attempt to access JSON non-string as string",
    on=("batch_input", "batch_output"),
)
def batch_settings_have_names(model: ModelCase) -> Iterator[Finding]:
    """Backends read them by name, before Triton has looked at them, unless auto-complete is off.

    Source: backend: backend_model.cc (BackendModel).
    """
    if not model.target.is_auto_complete:
        return
    for field, kinds in (("batch_input", BatchInput.Kind), ("batch_output", BatchOutput.Kind)):
        for index, made in enumerate(getattr(model.config, field)):
            for setting, names in (("kind", kinds), ("data_type", DataType)):
                number = getattr(made, setting, 0)
                if number not in names.values():
                    message = f"{setting} {number} of {field} has no name"
                    yield model.error(f"{field}[{index}].{setting}", message, remedy="write it by its name")
