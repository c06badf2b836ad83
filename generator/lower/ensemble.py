"""An ensemble from its steps: wired, typed, batched, as the fields of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.lower.facts import Facts, batch_limit, named_items, text_of
from tritonsmith.generator.repository.core import Content
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import ModelSpec, Step
from tritonsmith.generator.wiring import Tensor, Wiring, wire

# git and object stores drop empty folders, and Triton refuses an ensemble without a version folder.
VERSION_FILES = {"1/.gitkeep": Content(b"")}


def facts_of_steps(model: ModelSpec, models: Mapping[str, ModelConfig], findings: list[Finding]) -> Facts | None:
    """Return an ensemble's fields; None where a finding makes it impossible."""
    if _gives_steps_twice(model, findings):
        return None
    declared = named_items(model.fields, "output")
    wiring = wire(
        model.ensemble,
        models,
        key=f"models.{model.name}.ensemble",
        findings=findings,
        outputs=list(declared) or None,
        inputs=named_items(model.fields, "input"),
        expose=model.expose,
    )
    if wiring is None:
        return None
    limit = batch_limit(model.fields) if text_of(model.fields, "max_batch_size") else wiring.max_batch_size
    if not _can_batch(model, wiring, limit, findings):
        return None
    fields: dict[str, Any] = {
        "platform": "ensemble",
        "max_batch_size": limit,
        "input": [_item(tensor, limit) for tensor in wiring.inputs],
        "output": [_item(tensor, limit) for tensor in wiring.outputs],
        "ensemble_scheduling": {
            "step": [_step(wired.step, wired.input_map, wired.output_map) for wired in wiring.steps]
        },
    }
    return Facts(fields, VERSION_FILES, wiring.tensors, _origins(model, wiring))


def _origins(model: ModelSpec, wiring: Wiring) -> dict[str, Place]:
    """Return where the steps and their fields were written; what was left out stands at its step."""
    steps = "ensemble_scheduling.step"
    origins = {steps: model.place_of("ensemble")}
    for index, wired in enumerate(wiring.steps):
        step, path = wired.step, f"{steps}[{index}]"
        maps = {"input_map": wired.input_map, "output_map": wired.output_map}
        tensors = [f"{name}.{tensor}" for name, given in maps.items() for tensor in given]
        fields = ["model_name", "model_version", "model_namespace", *maps, *tensors]
        origins |= {path: step.place, **{f"{path}.{field}": step.place_of(field) for field in fields}}
    return origins


def _gives_steps_twice(model: ModelSpec, findings: list[Finding]) -> bool:
    scheduling = model.fields.entries.get("ensemble_scheduling")
    if not isinstance(scheduling, tree.Mapping) or "step" not in scheduling.entries:
        return False
    message = "'ensemble' excludes 'ensemble_scheduling.step': both are the steps"
    key = f"models.{model.name}.ensemble_scheduling.step"
    findings.append(error(message, scheduling.place_of("step"), key=key, remedy="leave one out"))
    return True


def _can_batch(model: ModelSpec, wiring: Wiring, limit: int, findings: list[Finding]) -> bool:
    if limit <= wiring.max_batch_size:
        return True
    message = f"max_batch_size {limit} is more than the steps take ({wiring.max_batch_size})"
    place = model.fields.place_of("max_batch_size")
    hint = "raise the steps' max_batch_size, or leave the ensemble's out"
    findings.append(error(message, place, key=f"models.{model.name}.max_batch_size", remedy=hint))
    return False


def _item(tensor: Tensor, limit: int) -> dict[str, Any]:
    dims = list(tensor.shape[1:] if limit > 0 else tensor.shape)
    return {"name": tensor.name, "data_type": BY_NUMBER[tensor.data_type].name, "dims": dims}


def _step(step: Step, input_map: Mapping[str, str], output_map: Mapping[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = {"model_name": step.model, "model_version": step.version}
    if step.namespace:
        written["model_namespace"] = step.namespace
    return {**written, "input_map": dict(input_map), "output_map": dict(output_map)}
