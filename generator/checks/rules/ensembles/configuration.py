"""Whether an ensemble has what an ensemble must have, and nothing that only its steps may have."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelEnsembling

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import Stage, check
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.fixes import RemoveField

_STEPS = ("ensemble_scheduling",)
_GIVE = "give it to the model of a step"


@check(
    "TS601",
    "an ensemble has steps",
    triton="ensemble scheduling must be set for ensemble {name} whose platform is ensemble",
    stage=Stage.POLL,
    on=("platform",),
)
def ensembles_have_scheduling(model: ModelCase) -> Iterator[Finding]:
    """Without ensemble_scheduling Triton does not know what to run.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    if model.is_ensemble and not model.config.HasField("ensemble_scheduling"):
        message = "the platform is ensemble, but ensemble_scheduling is missing"
        yield model.error("platform", message, remedy="add ensemble_scheduling, or name the model's own platform")


@check(
    "TS602",
    "what has steps is an ensemble",
    triton="ensemble scheduling cannot be set for model '{name}' whose platform is not ensemble",
    stage=Stage.POLL,
    on=_STEPS,
)
def steps_are_an_ensembles(model: ModelCase) -> Iterator[Finding]:
    """`backend: "ensemble"` does not make an ensemble either: there is no such backend.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    if not model.is_ensemble:
        message = f"the model has ensemble_scheduling, but its platform is '{model.config.platform}', not 'ensemble'"
        yield model.error("ensemble_scheduling", message, remedy='platform: "ensemble", and no backend')


@check(
    "TS603",
    "an ensemble has no backend",
    triton="Ensemble model '{name}' must have platform type '{name}' and empty backend type",
    stage=Stage.POLL,
    on=("platform",),
)
def ensembles_have_no_backend(model: ModelCase) -> Iterator[Finding]:
    """No backend runs an ensemble: Triton schedules its steps itself.

    Source: core: model_config_utils.cc (ValidateModelConfig).
    """
    if model.is_ensemble and model.config.backend:
        message = f"an ensemble has no backend, this one has '{model.config.backend}'"
        yield model.error("backend", message, remedy="take it away", fix=RemoveField("backend"))


@check(
    "TS604",
    "an ensemble has no instance groups",
    triton="instance group should not be specified for ensemble '{name}'",
    stage=Stage.POLL,
    on=("instance_group",),
)
def ensembles_have_no_instances(model: ModelCase) -> Iterator[Finding]:
    """An ensemble runs nothing itself; its steps' models have the instances.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    if _is_ensemble(model):
        yield model.error("instance_group", "an ensemble has no instance_group", remedy=_GIVE)


@check(
    "TS605",
    "an ensemble has no optimization",
    triton="optimization should not be specified for ensemble '{name}'",
    stage=Stage.POLL,
    on=("optimization",),
)
def ensembles_have_no_optimization(model: ModelCase) -> Iterator[Finding]:
    """Even an empty one is refused.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    if _is_ensemble(model):
        fix = RemoveField("optimization")
        yield model.error("optimization", "an ensemble has no optimization", remedy=_GIVE, fix=fix)


@check(
    "TS606",
    "an ensemble has no warm-up",
    triton="model_warmup can not be specified for ensemble '{name}'",
    stage=Stage.POLL,
    on=("model_warmup",),
)
def ensembles_have_no_warmup(model: ModelCase) -> Iterator[Finding]:
    """Nothing of an ensemble's own could be warmed up; its steps' models can each have a warm-up.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    if _is_ensemble(model):
        yield model.error("model_warmup", "an ensemble has no model_warmup", remedy=_GIVE)


@check(
    "TS607",
    "an ensemble's scheduling has a step",
    triton="must specify 'step' for ensemble '{name}'",
    stage=Stage.POLL,
    on=_STEPS,
)
def ensembles_have_steps(model: ModelCase) -> Iterator[Finding]:
    """An ensemble without a step would answer nothing.

    Source: core: model_config_utils.cc (ValidateEnsembleSchedulingConfig).
    """
    if not model.config.ensemble_scheduling.step and model.is_ensemble:
        yield model.error("ensemble_scheduling", "the ensemble has no step", remedy="name a model and map its tensors")


@check(
    "TS608",
    "a step names its model",
    triton="must specify 'model_name' in step {n} of ensemble '{name}'",
    stage=Stage.POLL,
    on=_STEPS,
)
def steps_name_models(model: ModelCase) -> Iterator[Finding]:
    """The name is all by which a step's model is found.

    Source: core: model_config_utils.cc (BuildEnsembleGraph).
    """
    for path, step in steps_of(model):
        if not step.model_name:
            yield model.error(path, "the step names no model", remedy='model_name: "..."')


@check(
    "TS609",
    "a step's model has an input",
    triton="must specify 'input_map' in step {n} of ensemble '{name}'",
    stage=Stage.POLL,
    on=_STEPS,
)
def steps_have_inputs(model: ModelCase) -> Iterator[Finding]:
    """A model without inputs, or without outputs, can be no step.

    Source: core: model_config_utils.cc (BuildEnsembleGraph).
    """
    for path, step in steps_of(model):
        if not step.input_map:
            message = f"the step of '{step.model_name}' maps no input"
            yield model.error(path, message, remedy='input_map { key: "the model\'s" value: "the ensemble\'s" }')


@check(
    "TS610",
    "a step's model has an output",
    triton="must specify 'output_map' in step {n} of ensemble '{name}'",
    stage=Stage.POLL,
    on=_STEPS,
)
def steps_have_outputs(model: ModelCase) -> Iterator[Finding]:
    """A step whose outputs nobody maps computes nothing for the ensemble.

    Source: core: model_config_utils.cc (BuildEnsembleGraph).
    """
    for path, step in steps_of(model):
        if not step.output_map:
            message = f"the step of '{step.model_name}' maps no output"
            yield model.error(path, message, remedy='output_map { key: "the model\'s" value: "the ensemble\'s" }')


def steps_of(model: ModelCase) -> Iterator[tuple[str, ModelEnsembling.Step]]:
    """Yield the path of each step and the step; nothing where the platform says that this is no ensemble."""
    for index, step in enumerate(model.config.ensemble_scheduling.step if model.is_ensemble else ()):
        yield f"ensemble_scheduling.step[{index}]", step


def _is_ensemble(model: ModelCase) -> bool:
    """Whether Triton looks at it as an ensemble: without steps it stops at that."""
    return model.is_ensemble and model.config.HasField("ensemble_scheduling")
