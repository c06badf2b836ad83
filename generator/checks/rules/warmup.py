"""Whether warm-up samples can be run: each is a request that Triton makes itself, before the model is ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput, ModelWarmup

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.checks.rules.shapes import SIZED_SINCE, can_be_allocated, size_bytes, size_of_file
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.fixes import SetField

ON = ("model_warmup",)
FOLDER = "warmup"
UNNAMED = "[request id: <id_unknown>] "  # what Triton calls a request of its own
# Backends in C++ whose answer to a batch beyond the limit is an error; in a Python model's process it is a race.
_ANSWERING = frozenset({"onnxruntime", "tensorrt", "pytorch", "tensorflow", "openvino"})


def _samples(model: ModelCase) -> Iterator[tuple[str, ModelWarmup]]:
    """Yield the samples that are run, and their paths: batch_size 0 skips one, and so do passive instances."""
    groups = model.config.instance_group
    if groups and all(group.passive for group in groups):
        return
    for index, sample in enumerate(model.config.model_warmup):
        if sample.batch_size:
            yield f"model_warmup[{index}]", sample


def inputs_of_samples(model: ModelCase) -> Iterator[tuple[str, str, ModelWarmup.Input]]:
    """Yield path, name and data of each input of each sample that is run."""
    for path, sample in _samples(model):
        for name in sorted(sample.inputs):
            yield f"{path}.inputs.{name}", name, sample.inputs[name]


def _declared(model: ModelCase) -> Mapping[str, ModelInput]:
    """Return the model's inputs by name; of two with one name the first, as Triton has it."""
    return {tensor.name: tensor for tensor in reversed(model.config.input)}


@check(
    "TS351",
    "a warm-up sample has no variable sizes",
    triton="warmup setting expects all variable-size dimensions are specified for input '{name}'",
    on=ON,
)
def samples_have_sizes(model: ModelCase) -> Iterator[Finding]:
    """A sample is a request, and a request has a shape; the batch axis is not among its dims.

    Source: core: backend_model_instance.cc (GenerateWarmupData).
    """
    for path, name, given in inputs_of_samples(model):
        if -1 in given.dims:
            message = f"the sample's input '{name}' has variable dims {list(given.dims)}"
            yield model.error(f"{path}.dims", message, remedy="write the sizes of a typical request")


@check(
    "TS352",
    "a warm-up sample has data",
    triton=f"{UNNAMED}warmup setting expects input '{{name}}' to have input_data_type set",
    on=ON,
)
def samples_have_data(model: ModelCase) -> Iterator[Finding]:
    """Triton makes up no data by itself.

    Source: core: backend_model_instance.cc (GenerateWarmupData).
    """
    for path, name, given in inputs_of_samples(model):
        if given.WhichOneof("input_data_type") is None:
            message = f"the sample's input '{name}' has no data"
            yield model.error(path, message, remedy="add zero_data: true, random_data: true, or an input_data_file")


@check(
    "TS353",
    "a warm-up sample's file is long enough",
    triton=f"{UNNAMED}warmup setting expects {{n}} bytes, but the data provided from {{path}}only has {{n}} bytes",
    on=ON,
)
def sample_files_are_long_enough(model: ModelCase) -> Iterator[Finding]:
    """The file holds the raw bytes of the input's elements; what is too many is left out.

    Source: core: backend_model_instance.cc (GenerateWarmupData).
    """
    for path, name, given in inputs_of_samples(model):
        if given.WhichOneof("input_data_type") != "input_data_file" or given.data_type == DataType.TYPE_STRING:
            continue
        size = size_of_file(model.model, FOLDER, given.input_data_file)
        wanted = size_bytes(given.data_type, given.dims)
        if size is not None and size < wanted:
            message = f"'{given.input_data_file}' has {size} bytes, the sample's input '{name}' {wanted}"
            yield model.error(f"{path}.input_data_file", message, remedy=f"write all {wanted} bytes into the file")


@check(
    "TS354",
    "a warm-up sample brings the model's inputs",
    triton=f"{UNNAMED}expected {{n}} inputs but got {{n}} inputs for model '{{name}}'. Got input(s) {{names}}, but "
    "missing required input(s) {names}. Please provide all required input(s).",
    on=ON,
)
def samples_bring_every_input(model: ModelCase) -> Iterator[Finding]:
    """What is no input of the model is a control, and does not count.

    Source: core: infer_request.cc (ValidateRequestInputs).
    """
    if not any(tensor.optional for tensor in model.config.input):
        yield from _incomplete(model)


@check(
    "TS355",
    "a warm-up sample brings the model's required inputs",
    triton=f"{UNNAMED}expected number of inputs between {{n}} and {{n}} but got {{n}} inputs for model '{{name}}'. Got "
    "input(s) {names}, but missing required input(s) {names}. Please provide all required input(s).",
    on=ON,
)
def samples_bring_required_inputs(model: ModelCase) -> Iterator[Finding]:
    """Triton counts what a sample brings: one less than the inputs that are not optional is too few.

    Source: core: infer_request.cc (ValidateRequestInputs).
    """
    if any(tensor.optional for tensor in model.config.input):
        yield from _incomplete(model)


def _incomplete(model: ModelCase) -> Iterator[Finding]:
    declared = _declared(model)
    required = [tensor.name for tensor in model.config.input if not tensor.optional]
    for path, sample in _samples(model):
        if sum(name in declared for name in sample.inputs) < len(required):
            lacking = sorted({name for name in required if name not in sample.inputs})
            message = f"the sample lacks {', '.join(map(repr, lacking))}" if lacking else "two inputs have one name"
            yield model.error(f"{path}.inputs" if sample.inputs else path, message, remedy="add an entry for each")


@check(
    "TS356",
    "a warm-up sample has the inputs' types",
    triton=f"{UNNAMED}inference input '{{name}}' data-type is '{{name}}', but model '{{name}}' expects '{{name}}'",
    on=ON,
)
def samples_have_the_types(model: ModelCase) -> Iterator[Finding]:
    """A sample is checked like any request.

    Source: core: infer_request.cc (Normalize).
    """
    declared = _declared(model)
    for path, name, given in inputs_of_samples(model):
        tensor = declared.get(name)
        if tensor is not None and tensor.data_type and given.data_type != tensor.data_type:
            wanted = enum_name(DataType, tensor.data_type)
            said = enum_name(DataType, given.data_type) if given.data_type else "no data_type"
            message = f"the sample's input '{name}' has {said}, the model takes {wanted}"
            yield model.error(f"{path}.data_type", message, remedy=f"write data_type: {wanted}")


@check(
    "TS357",
    "a warm-up sample has the inputs' shapes",
    triton=f"{UNNAMED}unexpected shape for input '{{name}}' for model '{{name}}'. Expected {{shape}}, got "
    "{shape}. ...",
    on=ON,
)
def samples_have_the_shapes(model: ModelCase) -> Iterator[Finding]:
    """A sample is checked like any request; Triton adds the batch axis of a model that batches, as 1.

    Source: core: infer_request.cc (Normalize).
    """
    declared = _declared(model)
    batches = model.config.max_batch_size > 0
    for path, name, given in inputs_of_samples(model):
        tensor = declared.get(name)
        if tensor is None or not tensor.dims:
            continue
        dims = [1, *given.dims] if batches and tensor.is_shape_tensor else list(given.dims)
        if not _fits(dims, tensor.dims):
            message = f"the sample's input '{name}' has dims {list(given.dims)}, the model takes {list(tensor.dims)}"
            is_batched = batches and _fits(dims[1:], tensor.dims)
            hint = "leave the batch axis out: batch_size says it" if is_batched else "write sizes that the model takes"
            yield model.error(f"{path}.dims", message, remedy=hint)


def _fits(dims: Sequence[int], declared: Sequence[int]) -> bool:
    return len(dims) == len(declared) and all(want in (-1, dim) for dim, want in zip(dims, declared, strict=True))


@check(
    "TS358",
    "a warm-up sample's sizes are not below 0",
    triton=f"{UNNAMED}input byte size mismatch for input '{{name}}' for model '{{name}}'. Expected {{n}}, got {{n}}",
    on=ON,
)
def samples_have_whole_sizes(model: ModelCase) -> Iterator[Finding]:
    """A dimension of a request is a number of elements. Since 26.03 Triton says it in words of its own (TS444).

    Source: core: infer_request.cc (Normalize).
    """
    if model.target.release.name < SIZED_SINCE:
        yield from negative_samples(model)


def negative_samples(model: ModelCase) -> Iterator[Finding]:
    """Yield a finding about each input of a sample that has a dimension below -1."""
    for path, name, given in inputs_of_samples(model):
        if min(given.dims, default=0) < -1:
            message = f"the sample's input '{name}' has dims {list(given.dims)}"
            yield model.error(f"{path}.dims", message, remedy="write sizes of at least 0")


@check(
    "TS360",
    "a warm-up sample is no larger than a batch",
    triton="failed to run warmup sample '{name}': batch size {n} for '{name}', max allowed is {n}; ...",
    phase=Phase.CRASH,
    on=ON,
)
def samples_fit_a_batch(model: ModelCase) -> Iterator[Finding]:
    """batch_size is how many requests the sample puts into one batch, which passes by the batcher and its limit.

    Backends in C++ answer with an error. In a Python model's process it is a race: about half of all loads end the
    whole server (Signal 11).

    Source: backend_model_instance.cc (WarmUp), python_backend: python_be.cc (SetErrorForResponseSendMessage).
    """
    limit = max(model.config.max_batch_size, 1)
    for path, sample in _samples(model):
        if sample.batch_size > limit:
            message = (
                f"the sample's batch_size {sample.batch_size} is above max_batch_size ({model.config.max_batch_size})"
            )
            found = model.error(f"{path}.batch_size", message, remedy=f"use a batch_size from 1 to {limit}")
            yield replace(found, phase=Phase.LOAD if model.config.backend in _ANSWERING else Phase.CRASH)


@check(
    "TS361",
    "a warm-up sample of a model that batches brings an input",
    triton=f"failed to run warmup sample '{{name}}': {UNNAMED}out of bounds index 0: request has 0 inputs; ...",
    on=ON,
)
def samples_bring_an_input(model: ModelCase) -> Iterator[Finding]:
    """The backend reads the batch size from the first input, also where all are optional.

    Source: python_backend: python_be.cc (ProcessRequests).
    """
    if model.config.max_batch_size and not any(not tensor.optional for tensor in model.config.input):
        for path, sample in _samples(model):
            if not sample.inputs:
                yield model.error(path, "the sample brings no input", remedy="add one of the model's inputs")


@check(
    "TS362",
    "a warm-up sample's memory can be had",
    phase=Phase.CRASH,
    on=ON,
)
def samples_can_be_allocated(model: ModelCase) -> Iterator[Finding]:
    """Triton writes the sample's zeros or random bytes without asking whether it got the memory, and ends.

    Source: core: backend_model_instance.cc (GenerateWarmupData).
    """
    for path, name, given in inputs_of_samples(model):
        is_made_up = given.WhichOneof("input_data_type") in ("zero_data", "random_data")
        if is_made_up and min(given.dims, default=0) >= 0 and not can_be_allocated(given.data_type, given.dims):
            message = f"the sample's input '{name}' takes more memory than any server has: {list(given.dims)}"
            yield model.error(f"{path}.dims", message, remedy="write the sizes of a typical request")


@check("TS363", "a warm-up sample is run", on=ON)
def samples_are_run(model: ModelCase) -> Iterator[Finding]:
    """batch_size 0, also where it is left out, skips the sample without a word.

    Source: core: backend_model_instance.cc (GenerateWarmupData).
    """
    for index, sample in enumerate(model.config.model_warmup):
        if not sample.batch_size and not model.is_ensemble:
            path = f"model_warmup[{index}]"
            message = f"warm-up sample '{sample.name}' has batch_size 0: it is skipped silently"
            hint = "add batch_size: 1"
            yield model.warning(path, message, remedy=hint, fix=SetField(f"{path}.batch_size", "1"))
