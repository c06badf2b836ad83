"""Whether inputs and outputs say what Triton must know of them."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInput, ModelOutput

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.wiring import boundary_of


@check("TS301", "inputs and outputs have a name, a type and dims")
def tensors_are_whole(model: ModelCase) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateModelInput, ValidateModelOutput, ValidateIOShape)."""
    for path, tensor in boundary_of(model.config):
        for problem in _problems(tensor):
            yield model.error(path, problem)


def _problems(tensor: ModelInput | ModelOutput) -> Iterator[str]:
    lacking = {"name": not tensor.name, "data_type": not tensor.data_type, "dims": not tensor.dims}
    for field, is_lacking in lacking.items():
        if is_lacking:
            yield f"the tensor '{tensor.name}' has no {field}"
    if any(dim < 1 and dim != -1 for dim in tensor.dims):
        yield f"dims {list(tensor.dims)} of '{tensor.name}': each is -1 or at least 1"
