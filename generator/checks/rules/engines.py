"""Whether a TensorRT plan agrees with its configuration; asked only where `tensorrt` is installed to read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import DataType

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
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
                said = DataType.Name(number) if number in DataType.values() else str(number)  # type: ignore[arg-type]
                message = f"'{name}' is {said}, in {path} {tensor.datatype.name}"
                yield model.error(f"{field}.data_type", message, remedy="write the plan's type")


@check("TS932", "a TensorRT plan of dynamic shapes has one instance on a GPU", on=("instance_group",))
def dynamic_plans_are_loaded_once(model: ModelCase) -> Iterator[Finding]:
    """Instances of a plan with dynamic shapes do not share it: each loads its own copy into the GPU's memory.

    Source: tensorrt_backend: src/model_state.cc (ModelState::CreateEngine), triton-config F12.
    """
    groups = [(index, group.count) for index, group in enumerate(model.config.instance_group) if group.count > 1]
    for path, plan in _plans(model) if groups else ():
        if any(-1 in (tensor.shape or ()) for tensor in (*plan.inputs, *plan.outputs)):
            for index, count in groups:
                message = f"{count} instances hold {count} copies of {path} on each GPU: its shapes are dynamic"
                yield model.note(f"instance_group[{index}].count", message, remedy="see that they fit into its memory")


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
