"""Whether instance groups can be placed on the target."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import Finding, error


@check("TS501", "every instance group can be placed")
def instance_groups_fit(case: Case) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (ValidateInstanceGroup)."""
    for model, config in case.models():
        for index, group in enumerate(config.instance_group):
            problem = _problem(group, case.target.gpus)
            if problem:
                place = case.origin(model, f"instance_group[{index}]")
                hint = "use KIND_CPU, or name the target's GPU: hardware: {gpu: NAME, count: N}"
                yield error(problem, place, key=f"{model.name}.instance_group[{index}]", remedy=hint)


def _problem(group: ModelInstanceGroup, gpus: int) -> str:
    kind = ModelInstanceGroup.Kind.Name(group.kind)
    if group.kind == ModelInstanceGroup.KIND_CPU and group.gpus:
        return "a KIND_CPU group names GPUs"
    if group.kind == ModelInstanceGroup.KIND_GPU and not gpus:
        return f"the group asks for {kind}; the target has no GPU"
    beyond = [number for number in group.gpus if number >= gpus]
    return f"the group names GPU {beyond[0]}; the target has {gpus}" if beyond else ""
