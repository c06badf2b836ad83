"""Whether instance groups can be placed on the target, and what their defaults do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.checks.rules.python.source import python_sources
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.fixes import RemoveField

AUTO, GPU, CPU, MODEL = (
    ModelInstanceGroup.KIND_AUTO,
    ModelInstanceGroup.KIND_GPU,
    ModelInstanceGroup.KIND_CPU,
    ModelInstanceGroup.KIND_MODEL,
)
_TENSORRT = "tensorrt_plan"
# Of these an instance group without a count has two instances on a CPU, of others one.
# Source: core: model_config_utils.cc (SetDefaultInstanceCount).
_TWO_BY_DEFAULT = ("onnxruntime", "tensorflow")
_STOI = re.compile(r"\s*([+-]?[0-9]+)")  # what std::stoi reads: the number at the start, whatever follows
_USES_DEVICES = re.compile(rb"device|cuda|gpu|instance_kind|dlpack|^from |import (?!triton_python|json|numpy)", re.M)
_INTS = range(-(2**31), 2**31)


def groups_of(model: ModelCase) -> Iterator[tuple[str, ModelInstanceGroup]]:
    """Yield the path of each instance group and the group; nothing for an ensemble, which may have none."""
    if not model.config.HasField("ensemble_scheduling"):
        for index, group in enumerate(model.config.instance_group):
            yield f"instance_group[{index}]", group


def kind_of(group: ModelInstanceGroup, gpus: int | None) -> int:
    """Return the kind that KIND_AUTO becomes: a GPU's where the target has all that the group names.

    KIND_AUTO remains where the target's GPUs are not known.

    Source: core: model_config_utils.cc (NormalizeInstanceGroup).
    """
    if group.kind != AUTO or gpus is None:
        return group.kind
    has_all = gpus > 0 and all(0 <= number < gpus for number in group.gpus)
    return GPU if has_all else CPU


@check(
    "TS501",
    "a group on a GPU has one",
    triton="instance group {name} of model {name} has kind KIND_GPU but no GPUs are available",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def gpus_are_there(model: ModelCase) -> Iterator[Finding]:
    """A server without a GPU refuses a KIND_GPU group; KIND_AUTO takes a GPU where there is one, else the CPU.

    Source: core: model_config_utils.cc (ValidateInstanceGroup).
    """
    for path, group in groups_of(model):
        if group.kind == GPU and not group.gpus and model.target.gpus == 0:
            hint = "use KIND_CPU, or name the target's GPU: hardware: {gpu: NAME, count: N}"
            yield model.error(path, "the group asks for KIND_GPU; the target has no GPU", remedy=hint)


@check(
    "TS502",
    "the GPUs that a group names are the target's",
    triton="instance group {name} of model {name} specifies invalid or unsupported gpu id {n}. GPUs with at least the "
    "minimum required CUDA compute compatibility of {number} are: {text}",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def gpu_numbers_fit(model: ModelCase) -> Iterator[Finding]:
    """GPUs are counted from 0.

    Source: core: model_config_utils.cc (ValidateInstanceGroup).
    """
    gpus = model.target.gpus
    for path, group in groups_of(model):
        beyond = [number for number in group.gpus if number < 0 or (gpus is not None and number >= gpus)]
        if beyond and group.kind == GPU:
            message = f"the group names GPU {beyond[0]}; {_numbers_of(gpus)}"
            yield model.error(f"{path}.gpus", message, remedy="name one that is there")


@check(
    "TS503",
    "a group on the CPU names no GPUs",
    triton="instance group {name} of model {name} has kind KIND_CPU but specifies one or more GPUs",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def cpu_groups_name_no_gpus(model: ModelCase) -> Iterator[Finding]:
    """A group without a kind is KIND_AUTO, and KIND_CPU where a GPU that it names is missing: then it is refused too.

    Source: core: model_config_utils.cc (NormalizeInstanceGroup, ValidateInstanceGroup).
    """
    gpus = model.target.gpus
    for path, group in groups_of(model):
        if not group.gpus or kind_of(group, gpus) != CPU:
            continue
        fix = RemoveField(f"{path}.gpus")
        if group.kind == CPU:
            yield model.error(f"{path}.gpus", "a KIND_CPU group names GPUs", remedy="take the gpus away", fix=fix)
        else:
            numbers = ", ".join(map(str, group.gpus))
            message = f"the group names GPU {numbers}; the target has {gpus or 'none'}, so it becomes KIND_CPU"
            yield model.error(f"{path}.gpus", message, remedy="take the gpus away, or name the target's", fix=fix)


@check(
    "TS504",
    "a KIND_MODEL group names no GPUs",
    triton="instance group {name} of model {name} has kind KIND_MODEL but specifies one or more GPUs",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def model_groups_name_no_gpus(model: ModelCase) -> Iterator[Finding]:
    """KIND_MODEL leaves the devices to the model itself, as its own file says them.

    Source: core: model_config_utils.cc (ValidateInstanceGroup).
    """
    for path, group in groups_of(model):
        if group.kind == MODEL and group.gpus:
            message, fix = "a KIND_MODEL group names GPUs", RemoveField(f"{path}.gpus")
            yield model.error(f"{path}.gpus", message, remedy="take the gpus away; the model chooses", fix=fix)


@check(
    "TS505",
    "only a TensorRT model names optimization profiles",
    triton="instance group {name} of model {name} and platform {name}specifies profile field which is only supported "
    "for TensorRT models",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def profiles_are_tensorrts(model: ModelCase) -> Iterator[Finding]:
    """Triton goes by the platform: backend "tensorrt" alone is given platform "tensorrt_plan" by auto-complete.

    Source: core: model_config_utils.cc (ValidateInstanceGroup).
    """
    for path, group in groups_of(model) if model.config.platform != _TENSORRT else ():
        if group.profile:
            message = f"the group names optimization profile '{group.profile[0]}'; only TensorRT engines have any"
            yield model.error(f"{path}.profile", message, remedy="take it away", fix=RemoveField(f"{path}.profile"))


@check(
    "TS506",
    "an optimization profile is a number",
    triton="unable to parse '{text}': stoi",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def profiles_are_numbers(model: ModelCase) -> Iterator[Finding]:
    """Profiles are named by their number in the engine, from 0.

    Source: core: model_config_utils.cc (GetProfileIndex).
    """
    for path, profile in _profiles(model):
        if profile and not _STOI.match(profile):
            message = f"optimization profile '{profile}' is not a number"
            yield model.error(path, message, remedy='the first profile of an engine is "0"')


@check(
    "TS507",
    "an optimization profile is not below 0",
    triton="instance group {name} of model {name} and platform tensorrt_plan specifies invalid profile {text}. "
    "The field should contain the string representation of a non-negative integer.",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def profiles_are_not_negative(model: ModelCase) -> Iterator[Finding]:
    """Optimization profiles of a TensorRT engine are named by their number, which is written as text.

    Source: core: model_config_utils.cc (ValidateInstanceGroup).
    """
    for path, profile in _profiles(model):
        number = _number(profile)
        if number in _INTS and number < 0:
            message = f"optimization profile '{profile}' is below 0"
            yield model.error(path, message, remedy='the first profile of an engine is "0"')


@check(
    "TS508",
    "an optimization profile is not empty",
    triton="profile name must not be empty",
    on=("instance_group",),
    stage=Stage.CREATE,
)
def profiles_are_not_empty(model: ModelCase) -> Iterator[Finding]:
    """Optimization profiles of a TensorRT engine are named by their number, which is written as text.

    Source: core: model_config_utils.cc (GetProfileIndex).
    """
    for path, profile in _profiles(model):
        if not profile:
            yield model.error(path, "an optimization profile is empty", remedy='the first profile of an engine is "0"')


@check(
    "TS509",
    "an optimization profile is a number that fits",
    phase=Phase.CRASH,
    on=("instance_group",),
    stage=Stage.CREATE,
)
def profiles_fit(model: ModelCase) -> Iterator[Finding]:
    """A number of more than 31 bits takes the whole server down: std::out_of_range is caught nowhere (tried on 2.51).

    Source: core: model_config_utils.cc (GetProfileIndex), unchanged up to 26.06.
    """
    for path, profile in _profiles(model):
        number = _number(profile)
        if number not in _INTS:
            message = f"optimization profile '{profile}' is too large a number"
            yield model.error(path, message, remedy='the first profile of an engine is "0"')


@check("TS510", "a model has an instance that answers", phase=Phase.REQUEST, on=("instance_group",))
def some_group_answers(model: ModelCase) -> Iterator[Finding]:
    """Passive instances are loaded and never given a request; a model of these alone is said to be ready.

    The first request then takes the whole server down (tried on 2.51).

    Source: core: rate_limiter.cc (only active instances are scheduled).
    """
    groups = list(groups_of(model))
    if groups and all(group.passive for _, group in groups):
        message = (
            "all instance groups are passive: the model is said to be ready, and the first request ends the server"
        )
        path = groups[0][0]
        yield model.error(path, message, remedy="let one group be active", fix=RemoveField(f"{path}.passive"))


@check("TS511", "a group says how many instances it has", on=("instance_group",))
def counts_are_said(model: ModelCase) -> Iterator[Finding]:
    """A count below 1 is no error: Triton takes its default, which is 2 for ONNX Runtime and TensorFlow on the CPU.

    Source: core: model_config_utils.cc (SetDefaultInstanceCount).
    """
    for path, group in groups_of(model):
        is_two = model.config.backend in _TWO_BY_DEFAULT and kind_of(group, model.target.gpus) == CPU
        default = f"{2 if is_two else 1}"
        if group.count < 0:
            message = f"count {group.count} is below 0; Triton takes its default, {default}"
            yield model.warning(f"{path}.count", message, remedy=f"count: {default}")
        elif not group.count and is_two:
            message = f"without a count the group has two instances on the CPU ({model.config.backend})"
            yield model.warning(path, message, remedy="say count: 1, or 2")


@check("TS513", "a Python model on a GPU uses it", on=("instance_group",))
def gpus_are_used(model: ModelCase) -> Iterator[Finding]:
    """For a Python model KIND_GPU is no more than a word that its file is told; the file itself must use the GPU.

    Source: python_backend: README.md (Instance groups); server#5889.
    """
    if model.config.backend != "python":
        return
    for path, group in groups_of(model):
        sources = [source.source.lower() for _, source in python_sources(model)] if group.kind == GPU else []
        if sources and not any(_USES_DEVICES.search(source) for source in sources):
            message = "KIND_GPU by itself changes nothing: model.py does not ask for its device"
            hint = 'use args["model_instance_kind"] and args["model_instance_device_id"] in initialize, or KIND_CPU'
            yield model.warning(path, message, remedy=hint)


def _profiles(model: ModelCase) -> Iterator[tuple[str, str]]:
    """Yield the optimization profiles of a TensorRT model; Triton looks no further on another platform."""
    if model.config.platform == _TENSORRT:
        for path, group in groups_of(model):
            for profile in group.profile:
                yield f"{path}.profile", profile


def _number(profile: str) -> int:
    """Return what std::stoi reads, 0 where that is nothing; digits beyond the first hundred only make it larger."""
    match = _STOI.match(profile)
    return int(match[1][:100]) if match else 0


def _numbers_of(gpus: int | None) -> str:
    if gpus is None:
        return "GPUs are counted from 0"
    return f"the target has {f'GPUs 0 to {gpus - 1}' if gpus > 1 else 'GPU 0' if gpus else 'no GPU'}"
