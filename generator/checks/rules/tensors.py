"""Whether inputs and outputs say what Triton must know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.completion import is_completed_later
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.checks.rules.shapes import (
    NOT_COUNTED,
    SIZED_SINCE,
    count_elements,
    element_counts,
    is_overflowing,
)
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.wiring import boundary_of

Tensor = ModelInput | ModelOutput
TensorRule = Callable[[Tensor, ModelConfig], str | None]

TENSORRT = "tensorrt_plan"  # the platform, for which alone Triton takes some settings (core: constants.h)


def tensor_check(
    input_code: str,
    output_code: str,
    title: str,
    *,
    triton: str,
    field: str = "",
    remedy: str,
    is_completed: bool = False,
) -> Callable[[TensorRule], TensorRule]:
    """Register a rule about each tensor, once for inputs and once for outputs: Triton words it for either.

    The rule returns what is wrong, None where all is well. What a backend may still complete, `is_completed`, is left
    alone where one does.
    """

    def register(rule: TensorRule) -> TensorRule:
        for code, side in ((input_code, "input"), (output_code, "output")):
            _register(code, side, title, rule, triton, field, remedy, is_completed)
        return rule

    return register


def _register(
    code: str, side: str, title: str, rule: TensorRule, triton: str, field: str, remedy: str, is_completed: bool
) -> None:
    def about_model(model: ModelCase) -> Iterator[Finding]:
        config = model.config
        for index, tensor in enumerate(getattr(config, side)):
            said = rule(tensor, config)
            if said and not (is_completed and is_completed_later(model)):
                path = f"{side}[{index}]"
                yield model.error(f"{path}.{field}" if field else path, f"{side} {said}", remedy=remedy)

    about_model.__doc__ = rule.__doc__
    message = f"model {side} {triton} for {{name}}"
    check(code, f"every {side} {title}", triton=message, stage=Stage.IO, on=(side,))(about_model)


@tensor_check("TS301", "TS311", "has a name", triton="must specify 'name'", remedy='add name: "..."')
def name_is_set(tensor: Tensor, config: ModelConfig) -> str | None:
    """A request names each of its tensors, so that each needs a name.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    return None if tensor.name else "without a name"


@tensor_check(
    "TS302",
    "TS312",
    "has a data type",
    triton="'{name}' must specify 'data_type'",
    remedy="add data_type, e.g. TYPE_FP32",
    is_completed=True,
)
def data_type_is_set(tensor: Tensor, config: ModelConfig) -> str | None:
    """Triton checks the type of what a request brings against the configuration's.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    return f"'{tensor.name}' has no data_type" if tensor.name and not tensor.data_type else None


@tensor_check(
    "TS303",
    "TS313",
    "has dims",
    triton="'{name}' must specify 'dims'",
    remedy="add dims without the batch axis; a scalar of a model that batches is dims: [ 1 ] reshape { shape: [ ] }",
    is_completed=True,
)
def dims_are_set(tensor: Tensor, config: ModelConfig) -> str | None:
    """A tensor without dims cannot be told from one whose dims were forgotten, so Triton refuses even a scalar's.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    return f"'{tensor.name}' has no dims" if tensor.name and not tensor.dims else None


@tensor_check(
    "TS304",
    "TS314",
    "has dims that are -1 or at least 1",
    triton="'{name}' dimension must be integer >= 1, or -1 to indicate a variable-size dimension",
    field="dims",
    remedy="write -1 for a size that varies",
)
def dims_are_sizes(tensor: Tensor, config: ModelConfig) -> str | None:
    """A dimension is a size, or -1 where the size varies from request to request.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    dims = tensor.dims
    if not _are_sizes(dims):
        return f"'{tensor.name}' has dims {list(dims)}: each is -1 or at least 1"
    return None


@tensor_check(
    "TS305",
    "TS315",
    "of a model that does not batch has no empty reshape",
    triton="'{name}' cannot have empty reshape for non-batching model as scalar tensors are not supported",
    field="reshape",
    remedy="reshape to [ 1 ], or set max_batch_size",
)
def scalars_are_batched(tensor: Tensor, config: ModelConfig) -> str | None:
    """A scalar reaches a backend as a tensor of shape [ batch ]; without a batch axis it would have no shape at all.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    if tensor.HasField("reshape") and not tensor.reshape.shape and config.max_batch_size == 0:
        return f"'{tensor.name}' is reshaped to a scalar, and the model does not batch"
    return None


@tensor_check(
    "TS306",
    "TS316",
    "has a reshape whose dims are -1 or at least 1",
    triton="'{name}' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension",
    field="reshape.shape",
    remedy="write -1 for a size that varies",
)
def reshape_is_sizes(tensor: Tensor, config: ModelConfig) -> str | None:
    """The shape that the model sees has sizes as dims have: -1, or at least 1.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    if tensor.HasField("reshape") and not _are_sizes(tensor.reshape.shape):
        return f"'{tensor.name}' is reshaped to {list(tensor.reshape.shape)}: each is -1 or at least 1"
    return None


@tensor_check(
    "TS307",
    "TS317",
    "has as many elements after its reshape as before",
    triton="'{name}' has different size for dims and reshape",
    field="reshape.shape",
    remedy="make the products of the dims agree, also of those between two -1",
)
def reshape_keeps_size(tensor: Tensor, config: ModelConfig) -> str | None:
    """A reshape changes the shape, never the number of elements; dims between two -1 must agree pairwise.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    if not _has_sound_reshape(tensor):
        return None
    dims, shape = tensor.dims, tensor.reshape.shape
    before, after = count_elements(dims), count_elements(shape)
    differs = before != after and (after != 0 or before != 1)
    if not differs and before == NOT_COUNTED:
        chunks = element_counts(dims), element_counts(shape)
        differs = len(chunks[0]) == len(chunks[1]) and chunks[0] != chunks[1]
    return f"'{tensor.name}' has dims {list(dims)}, reshaped to {list(shape)}" if differs else None


@tensor_check(
    "TS308",
    "TS318",
    "has as many variable dims after its reshape as before",
    triton="'{name}' has different number of variable-size dimensions for dims and reshape",
    field="reshape.shape",
    remedy="write as many -1 into the reshape as into dims",
)
def reshape_keeps_variable_dims(tensor: Tensor, config: ModelConfig) -> str | None:
    """Each -1 of the reshape is filled from one of dims, in order.

    Source: core: model_config_utils.cc (ValidateIOShape).
    """
    if not _has_sound_reshape(tensor):
        return None
    dims, shape = tensor.dims, tensor.reshape.shape
    if count_elements(dims) == count_elements(shape) == NOT_COUNTED and _wildcards(dims) != _wildcards(shape):
        return f"'{tensor.name}' has {_wildcards(dims)} variable dims, its reshape {_wildcards(shape)}"
    return None


def _are_sizes(dims: Sequence[int]) -> bool:
    return not dims or (min(dims) >= -1 and 0 not in dims)


def _wildcards(dims: Sequence[int]) -> int:
    return list(dims).count(-1)


def _has_sound_reshape(tensor: Tensor) -> bool:
    """Whether there is a reshape, and Triton gets so far as to compare it with dims."""
    return (
        tensor.HasField("reshape")
        and bool(tensor.dims)
        and _are_sizes(tensor.dims)
        and _are_sizes(tensor.reshape.shape)
    )


@check(
    "TS309",
    "an input with an image format has three dims",
    triton="model input NHWC/NCHW require 3 dims for {name}",
    stage=Stage.IO,
    on=("input",),
)
def images_have_three_dims(model: ModelCase) -> Iterator[Finding]:
    """The format says which of the three dims are height, width and channels; the batch axis is not among them.

    Source: core: model_config_utils.cc (ValidateModelInput).
    """
    for index, tensor in enumerate(model.config.input):
        if tensor.format in (ModelInput.FORMAT_NHWC, ModelInput.FORMAT_NCHW) and len(tensor.dims) != 3:
            name = enum_name(ModelInput.Format, tensor.format)
            message = f"input '{tensor.name}' is {name} and has {len(tensor.dims)} dims"
            yield model.error(f"input[{index}].format", message, remedy="leave format out, or write three dims")


@check(
    "TS319",
    "only TensorRT models have shape tensors",
    triton="shape tensors are only supported for TensorRT platform for {name}",
    stage=Stage.IO,
    on=("input", "output"),
)
def shape_tensors_are_tensorrts(model: ModelCase) -> Iterator[Finding]:
    """A shape tensor holds a size that the engine is run with; no other backend knows such.

    Source: core: model_config_utils.cc (ValidateModelInput, ValidateModelOutput).
    """
    if model.config.platform == TENSORRT:
        return
    for path, tensor in boundary_of(model.config):
        if tensor.is_shape_tensor:
            message = f"'{tensor.name}' is a shape tensor, and the platform is '{model.config.platform}'"
            yield model.error(f"{path}.is_shape_tensor", message, remedy="leave is_shape_tensor out")


@check(
    "TS320",
    "only TensorRT models have tensors in a non-linear format",
    triton="Non-linear IO format is only supported for the TensorRT platform for {name}",
    stage=Stage.IO,
    on=("input", "output"),
)
def non_linear_formats_are_tensorrts(model: ModelCase) -> Iterator[Finding]:
    """Only TensorRT's engines take tensors in a vectorised layout.

    Source: core: model_config_utils.cc (ValidateNonLinearFormatIO).
    """
    if model.config.platform == TENSORRT:
        return
    for path, tensor in boundary_of(model.config):
        if tensor.is_non_linear_format_io:
            message = f"'{tensor.name}' has a non-linear format, and the platform is '{model.config.platform}'"
            yield model.error(f"{path}.is_non_linear_format_io", message, remedy="leave is_non_linear_format_io out")


@check(
    "TS321",
    "an input in a non-linear format has three dims",
    triton="Non-linear IO format input requires 3 dims for {name}",
    stage=Stage.IO,
    on=("input",),
)
def non_linear_inputs_have_three_dims(model: ModelCase) -> Iterator[Finding]:
    """The formats are those of images: channels, height and width.

    Source: core: model_config_utils.cc (ValidateNonLinearFormatIO).
    """
    yield from _non_linear(model, "input")


@check(
    "TS322",
    "an output in a non-linear format has three dims",
    triton="Non-linear IO format output requires 3 dims for {name}",
    stage=Stage.IO,
    on=("output",),
)
def non_linear_outputs_have_three_dims(model: ModelCase) -> Iterator[Finding]:
    """The formats are those of images: channels, height and width.

    Source: core: model_config_utils.cc (ValidateNonLinearFormatIO).
    """
    yield from _non_linear(model, "output")


def _non_linear(model: ModelCase, side: str) -> Iterator[Finding]:
    if model.config.platform != TENSORRT:
        return
    for index, tensor in enumerate(getattr(model.config, side)):
        if tensor.is_non_linear_format_io and len(tensor.dims) != 3:
            message = f"{side} '{tensor.name}' has a non-linear format and {len(tensor.dims)} dims"
            yield model.error(f"{side}[{index}].dims", message, remedy="write channels, height and width")


@check(
    "TS323",
    "the elements of a reshaped tensor can be counted",
    triton="element count for tensor '{name}' exceeds maximum size of {n} for {name}",
    stage=Stage.IO,
    on=("input", "output"),
)
def reshaped_elements_are_counted(model: ModelCase) -> Iterator[Finding]:
    """Since 26.03 Triton refuses a reshape of more than 2^63 elements; before, the count silently wrapped around.

    Source: core: model_config_utils.h (GetElementCount), core#475.
    """
    if model.target.release.name < SIZED_SINCE:
        return
    for path, tensor in boundary_of(model.config):
        if _has_sound_reshape(tensor) and (is_overflowing(tensor.dims) or is_overflowing(tensor.reshape.shape)):
            message = f"'{tensor.name}' has more elements than 64 bits count"
            yield model.error(f"{path}.dims", message, remedy="write the sizes that the model takes")


@check("TS324", "inputs have names of their own", stage=Stage.IO, phase=Phase.REQUEST, on=("input",))
def inputs_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """Triton counts both inputs as required, keeps the first, and a request can bring one of a name.

    So every request is refused: "expected 2 inputs but got 1 inputs". Where only one of them is required the first
    holds, and the other is ignored.

    Source: core: model.cc (Model::Init), infer_request.cc (ValidateRequestInputs).
    """
    inputs = model.config.input
    if len(inputs) < 2:
        return
    required = sum(not tensor.optional for tensor in inputs)
    is_served = required <= len({tensor.name for tensor in inputs})
    for index, name in _repeated(inputs):
        if is_served:
            message = f"a second input '{name}': the first holds, this one is ignored"
            yield model.warning(f"input[{index}]", message, remedy="leave it out, or give it a name of its own")
        else:
            message = f"a second input '{name}': every request is refused, as it can bring only one of the two"
            yield model.error(f"input[{index}]", message, remedy="leave it out, or give it a name of its own")


@check("TS325", "outputs have names of their own", stage=Stage.IO, on=("output",))
def outputs_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """Triton keeps the first of two outputs with one name and ignores the other's type and dims.

    Source: core: model.cc (Model::Init).
    """
    for index, name in _repeated(model.config.output):
        message = f"a second output '{name}': the first holds, this one is ignored"
        yield model.warning(f"output[{index}]", message, remedy="leave it out, or give it a name of its own")


@check("TS326", "a model says its inputs and outputs", stage=Stage.IO)
def tensors_are_said(model: ModelCase) -> Iterator[Finding]:
    """Triton loads a model without inputs and outputs, and then refuses each request that brings a tensor.

    A model whose backend completes its configuration need not say them, unless auto-complete is off.
    """
    config = model.config
    if config.input or config.output or model.is_ensemble or config.batch_input:
        return
    if not model.target.is_auto_complete or (config.backend == "python" and not is_completed_later(model)):
        message = "no inputs and no outputs: Triton loads the model and refuses every request that brings a tensor"
        yield model.warning("", message, remedy="write input and output into config.pbtxt")


@check("TS327", "an output named like an input has its type", stage=Stage.IO, on=("output",))
def sides_are_told_apart(model: ModelCase) -> Iterator[Finding]:
    """Triton takes one name on both sides, as of a tensor that passes through.

    Where their types differ, clients, logs and ensembles' maps cannot say which of the two is meant.
    """
    if model.is_ensemble:
        return
    types = {tensor.name: tensor.data_type for tensor in model.config.input}
    for index, tensor in enumerate(model.config.output):
        if tensor.name and types.get(tensor.name, tensor.data_type) != tensor.data_type:
            message = f"output '{tensor.name}' is named like an input of another type"
            yield model.note(f"output[{index}].name", message, remedy="name it differently")


def _repeated(tensors: Iterable[Tensor]) -> Iterator[tuple[int, str]]:
    """Yield index and name of each tensor that has the name of an earlier one."""
    seen = set()
    for index, tensor in enumerate(tensors):
        if tensor.name in seen and tensor.name:
            yield index, tensor.name
        seen.add(tensor.name)
