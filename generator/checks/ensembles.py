"""Whether an ensemble's steps exist and agree with one another."""

from __future__ import annotations

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.spec.document import Step
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.generator.wiring import compare_boundary, has_known_tensors, wire


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
