"""Whether an ensemble's steps exist and agree with one another."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, check, check_case
from tritonsmith.generator.findings import NOWHERE, Finding, warning
from tritonsmith.generator.fixes import SetField
from tritonsmith.generator.spec.document import Step
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.generator.wiring import compare_boundary, fields_no_ensemble_has, has_known_tensors, wire


@check(
    "TS601",
    "an ensemble's steps are models of the repository",
    triton="ensemble {name} contains models that are not available or ambiguous: {names}",
    stage=Stage.POLL,
    on=("ensemble_scheduling",),
)
def steps_exist(model: ModelCase) -> Iterator[Finding]:
    """Source: core: model_repository_manager.cc (ValidateEnsembleConfig)."""
    known = model.case.repository.models
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        if step.model_name not in known:
            near = did_you_mean(step.model_name, known)
            message = f"step {index} is '{step.model_name}', which the repository does not hold.{near}"
            yield model.error(f"ensemble_scheduling.step[{index}]", message)


@check("TS602", "an ensemble's tensors agree with its steps", stage=Stage.ENSEMBLE, on=("ensemble_scheduling",))
def steps_agree(model: ModelCase) -> Iterator[Finding]:
    """A tensor whose two ends differ is refused at load, or fails at the first request where only batching differs.

    Source: core: ensemble_utils.cc (ValidateEnsembleConfig), model_config_utils.cc (BuildEnsembleGraph).
    """
    steps = [model.case.configs.get(step.model_name) for step in model.config.ensemble_scheduling.step]
    # a Python model may say its tensors only when it is loaded: no verdict then
    if steps and all(step is not None and has_known_tensors(step) for step in steps):
        yield from _disagreements(model)


@check(
    "TS603",
    "an ensemble's step names a version that can exist",
    triton="ensemble '{name}' depends on '{name}' whose required version {n} is not loaded.",
    stage=Stage.ENSEMBLE,
    on=("ensemble_scheduling",),
)
def versions_are_latest(model: ModelCase) -> Iterator[Finding]:
    """An omitted model_version means version 0, not the latest (server#5474, #5890)."""
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        steps = model.case.repository.models.get(step.model_name)
        if step.model_version == 0 and steps and not any(path.startswith("0/") for path in steps.files):
            path = f"ensemble_scheduling.step[{index}]"
            message = f"step {index} asks for version 0 of '{step.model_name}': omitted, it is 0 and not the latest"
            yield model.error(path, message, remedy="model_version: -1", fix=SetField(f"{path}.model_version", "-1"))


@check("TS604", "an ensemble has no field that only its steps have", stage=Stage.POLL, on=("platform",))
def ensembles_are_plain(model: ModelCase) -> Iterator[Finding]:
    """Triton answers the load only with "failed to poll"; the reason stands in its log.

    Source: core: model_config_utils.cc (ValidateEnsembleConfig).
    """
    for field in fields_no_ensemble_has(model.config) if model.is_ensemble else ():
        yield model.error(
            field, f"an ensemble has no {field}, only its steps have", remedy="give it to the model of a step"
        )


@check_case("TS605", "models do not call one another in a circle")
def calls_end(case: Case) -> Iterator[Finding]:
    """A model that waits for its own instance, though through others, waits for ever.

    Source: python_backend: README.md (Limitation of BLS).
    """
    calls = case.repository.settings.get("calls", {})
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as problem:
        cycle: list[str] = problem.args[1][::-1]
        model = case.repository.models.get(cycle[0])
        place = case.origin(model) if model is not None else NOWHERE
        message = f"models call one another in a circle: {' -> '.join(cycle)}"
        hint = "break the circle, or make sure that no call of it waits for an instance that waits for it"
        yield warning(message, place, key=cycle[0], remedy=hint)


def _disagreements(model: ModelCase) -> list[Finding]:
    case, config = model.case, model.config
    steps = [
        Step(
            step.model_name,
            case.origin(model.model, f"ensemble_scheduling.step[{index}]"),
            step.model_version,
            step.model_namespace,
            dict(step.input_map),
            dict(step.output_map),
        )
        for index, step in enumerate(config.ensemble_scheduling.step)
    ]
    found: list[Finding] = []
    outputs = [output.name for output in config.output]
    wiring = wire(steps, case.configs, key=model.name, findings=found, outputs=outputs)
    if wiring is not None:
        found += compare_boundary(config, wiring.tensors, lambda path: case.origin(model.model, path), model.name)
    return [case.about(model.model, finding) for finding in found]
