"""Whether a TensorRT plan agrees with its configuration; asked only where `tensorrt` is installed to read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import DataType

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.checks.rules.instances import groups_of
from tritonsmith.generator.checks.rules.python.environment import is_installed
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.core import SourceFile

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.onnx import OnnxFacts, OnnxTensor


@check("TS930", "the tensors of a TensorRT model are those of its plan")
def tensors_are_the_plans(model: ModelCase) -> Iterator[Finding]:
    """The backend looks each input and output up in the plan, and fails the load where it is not there.

    Source: tensorrt_backend: src/instance_state.cc (ModelInstanceState::InitIOBindingBuffers).
    """
    for path, plan in _plans(model):
        for field, name, tensor, _ in _pairs(model, plan):
            if tensor is None:
                message = f"{path} has no tensor '{name}'"
                yield model.error(field, message, remedy="use the names that the network had when it was built")


@check("TS931", "the types of a TensorRT model are those of its plan")
def types_are_the_plans(model: ModelCase) -> Iterator[Finding]:
    """The backend converts nothing: another type fails the load.

    Source: tensorrt_backend: src/instance_state.cc (ModelInstanceState::InitIOBindingBuffers).
    """
    for path, plan in _plans(model):
        for field, name, tensor, number in _pairs(model, plan):
            if tensor is not None and tensor.datatype is not None and number != tensor.datatype.number:
                message = f"'{name}' is {enum_name(DataType, number)}, in {path} {tensor.datatype.name}"
                yield model.error(f"{field}.data_type", message, remedy="write the plan's type")


@check("TS932", "the copies of a TensorRT plan of dynamic shapes fit into memory", on=("instance_group",))
def dynamic_plans_are_copied(model: ModelCase) -> Iterator[Finding]:
    """Instances share a plan only where its shapes are fixed; of dynamic shapes each has a copy in the GPU's memory.

    A note: two instances are usual, as one copies its tensors while the other computes, and often there is the memory.

    Source: tensorrt_backend: model_state.cc (IsEngineSharingEnabled), instance_state.cc; triton-config F12.
    """
    groups = [(path, group.count) for path, group in groups_of(model) if group.count > 1]
    if groups and model.config.backend == "tensorrt" and _is_dynamic(model):
        for path, count in groups:
            message = f"each of the {count} instances holds its own copy of the plan: its shapes are dynamic"
            yield model.note(f"{path}.count", message, remedy="plan memory for all, or batch in one instance")


def _is_dynamic(model: ModelCase) -> bool:
    """Whether the plan's shapes vary: as the configuration says, or the plan where it can be read."""
    tensors = (tensor for _, plan in _plans(model) for tensor in (*plan.inputs, *plan.outputs))
    return any(-1 in given.dims for given in model.config.input) or any(-1 in (one.shape or ()) for one in tensors)


def _plans(model: ModelCase) -> list[tuple[str, OnnxFacts]]:
    return model.once(_read_plans) if model.config.backend == "tensorrt" else []


def _read_plans(model: ModelCase) -> list[tuple[str, OnnxFacts]]:
    """Return path and tensors of each loaded version's plan that can be read on this machine."""
    name = model.config.default_model_filename or "model.plan"
    files = {path: model.model.files.get(path) for path in (f"{version}/{name}" for version in model.versions)}
    found = []
    for path, file in files.items():
        if isinstance(file, SourceFile) and is_installed("tensorrt"):
            from tritonsmith.generator.inspect.tensorrt import read_plan  # imports onnx too

            try:
                plan = read_plan(file.path)
            except SpecError:  # for another GPU or TensorRT than this machine's: the server's may read it
                continue
            if plan is not None:
                found.append((path, plan.graph))
    return found


def _pairs(model: ModelCase, plan: OnnxFacts) -> Iterator[tuple[str, str, OnnxTensor | None, int]]:
    """Yield field, name, the plan's tensor if it has one, and the type written, of each input and output."""
    inputs = {tensor.name: tensor for tensor in plan.inputs}
    outputs = {tensor.name: tensor for tensor in plan.outputs}
    for index, item in enumerate(model.config.input):
        yield f"input[{index}]", item.name, inputs.get(item.name), item.data_type
    for index, output in enumerate(model.config.output):
        yield f"output[{index}]", output.name, outputs.get(output.name), output.data_type
