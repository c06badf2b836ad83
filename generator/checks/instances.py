"""Whether instance groups can be placed on the target."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import Finding


@check("TS501", "every instance group can be placed", on=("instance_group",))
def instance_groups_fit(model: ModelCase) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateInstanceGroup)."""
    for index, group in enumerate(model.config.instance_group):
        problem = _problem(group, model.target.gpus)
        if problem:
            hint = "use KIND_CPU, or name the target's GPU: hardware: {gpu: NAME, count: N}"
            yield model.error(f"instance_group[{index}]", problem, remedy=hint)


def _problem(group: ModelInstanceGroup, gpus: int | None) -> str:
    kind = ModelInstanceGroup.Kind.Name(group.kind)
    if group.kind == ModelInstanceGroup.KIND_CPU and group.gpus:
        return "a KIND_CPU group names GPUs"
    if gpus is None:
        return ""
    if group.kind == ModelInstanceGroup.KIND_GPU and not gpus:
        return f"the group asks for {kind}; the target has no GPU"
    beyond = [number for number in group.gpus if number >= gpus]
    return f"the group names GPU {beyond[0]}; the target has {gpus}" if beyond else ""
