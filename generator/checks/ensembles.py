"""Whether an ensemble's steps exist and agree with one another."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import NOWHERE, Finding, error, warning
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.spec.document import Step
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.generator.wiring import compare_boundary, fields_no_ensemble_has, has_known_tensors, wire


@check("TS601", "an ensemble's steps are models of the repository")
def steps_exist(case: Case) -> Iterator[Finding]:
    """Source: core: model_repository_manager.cc ("contains models that are not available or ambiguous")."""
    for model, config in case.models():
        for index, step in enumerate(config.ensemble_scheduling.step):
            if step.model_name not in case.repository.models:
                near = did_you_mean(step.model_name, case.repository.models)
                message = f"step {index} is '{step.model_name}', which the repository does not hold.{near}"
                place = case.origin(model, f"ensemble_scheduling.step[{index}]")
                yield error(message, place, key=model.name)


@check("TS602", "an ensemble's tensors agree with its steps")
def steps_agree(case: Case) -> Iterator[Finding]:
    """A tensor whose two ends differ is refused at load, or fails at the first request where only batching differs.

    Source: core: ensemble_utils.cc (ValidateEnsembleConfig), model_config_utils.cc (BuildEnsembleGraph).
    """
    for model, config in case.models():
        steps = [case.configs.get(step.model_name) for step in config.ensemble_scheduling.step]
        # a Python model may say its tensors only when it is loaded: no verdict then
        if steps and all(step is not None and has_known_tensors(step) for step in steps):
            yield from _disagreements(case, model, config)


@check("TS603", "an ensemble's step names a version that can exist")
def versions_are_latest(case: Case) -> Iterator[Finding]:
    """An omitted model_version means version 0, not the latest (server#5474, #5890)."""
    for model, config in case.models():
        for index, step in enumerate(config.ensemble_scheduling.step):
            steps = case.repository.models.get(step.model_name)
            if step.model_version == 0 and steps and not any(path.startswith("0/") for path in steps.files):
                place = case.origin(model, f"ensemble_scheduling.step[{index}]")
                message = f"step {index} asks for version 0 of '{step.model_name}': omitted, it is 0 and not the latest"
                yield error(message, place, key=model.name, remedy="model_version: -1")


@check("TS604", "an ensemble has no field that only its steps have")
def ensembles_are_plain(case: Case) -> Iterator[Finding]:
    """Triton answers the load only with "failed to poll"; the reason stands in its log.

    Source: core: model_config_utils.cc (ValidateEnsembleConfig).
    """
    for model, config in case.models():
        for field in fields_no_ensemble_has(config) if config.platform == "ensemble" else ():
            message = f"an ensemble has no {field}, only its steps have"
            yield error(message, case.origin(model, field), key=model.name, remedy="give it to the model of a step")


@check("TS605", "models do not call one another in a circle")
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


def _disagreements(case: Case, model: Model, config: ModelConfig) -> list[Finding]:
    steps = [
        Step(
            step.model_name,
            case.origin(model, f"ensemble_scheduling.step[{index}]"),
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
        found += compare_boundary(config, wiring.tensors, lambda path: case.origin(model, path), model.name)
    return found
