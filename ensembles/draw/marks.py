"""Findings sorted by where in a drawing they belong: a model's box, a step of an ensemble, or one of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tritonsmith.ensembles.draw.core import Mark, plain
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.findings import NOWHERE, Finding
from tritonsmith.generator.repository.core import Model

Marks = tuple[Mark, ...]

_STEP = re.compile(r"ensemble_scheduling\.step\[(\d+)\](?:\.(input_map|output_map)\.(.+))?")
_BOUNDARY = re.compile(r"(input|output)\[(\d+)\]")


@dataclass(frozen=True)
class ModelMarks:
    """What is wrong with a model: as a whole, at the steps (by index) and at the tensors of an ensemble (by name)."""

    own: Marks = ()
    steps: Mapping[int, Marks] = field(default_factory=dict)
    tensors: Mapping[str, Marks] = field(default_factory=dict)

    @property
    def all(self) -> Marks:
        """Everything, for where the inside of the model is not drawn."""
        inside = [marks for part in (self.steps, self.tensors) for marks in part.values()]
        return tuple(dict.fromkeys(mark for marks in (self.own, *inside) for mark in marks))


NO_MARKS = ModelMarks()


def marks_by_model(case: Case, findings: Iterable[Finding]) -> tuple[dict[str, ModelMarks], Marks]:
    """Return the marks of each model that has any, and those about no model of the repository."""
    models = case.repository.models
    found: dict[str, list[Finding]] = {}
    others = []
    for finding in findings:
        name = _model_of(finding, models)
        if name:
            found.setdefault(name, []).append(finding)
        else:
            others.append(_mark(finding))
    return {name: _sorted(case, models[name], ours) for name, ours in found.items()}, tuple(others)


def _model_of(finding: Finding, models: Mapping[str, Model]) -> str:
    """Return the model that a finding is about: its own word, else that of its key, which may begin with `models.`."""
    if finding.model in models:
        return finding.model
    key = finding.key.removeprefix("models.")
    heads = (name for name in models if key == name or key.startswith(f"{name}."))
    return max(heads, key=len, default="")


def _sorted(case: Case, model: Model, findings: Iterable[Finding]) -> ModelMarks:
    own: list[Mark] = []
    steps: dict[int, Marks] = {}
    tensors: dict[str, Marks] = {}
    for finding in findings:
        mark = _mark(finding)
        tensor, step = _tensor_of(model, finding), _step_of(case, model, finding)
        if tensor:
            tensors[tensor] = (*tensors.get(tensor, ()), mark)
        elif step is not None:
            steps[step] = (*steps.get(step, ()), mark)
        else:
            own.append(mark)
    return ModelMarks(tuple(own), steps, tensors)


def _tensor_of(model: Model, finding: Finding) -> str:
    """Return the ensemble's tensor that a finding is about, empty where it is about none."""
    if model.config is None or not model.config.ensemble_scheduling.step:
        return ""
    path, steps = _path(model, finding), model.config.ensemble_scheduling.step
    if (match := _BOUNDARY.match(path)) is not None:
        items = model.config.input if match[1] == "input" else model.config.output
        return items[int(match[2])].name if int(match[2]) < len(items) else ""
    match = _STEP.match(path)
    if match is None or match[2] is None or int(match[1]) >= len(steps):
        return ""
    step = steps[int(match[1])]
    return dict(step.input_map if match[2] == "input_map" else step.output_map).get(match[3], "")


def _step_of(case: Case, model: Model, finding: Finding) -> int | None:
    if model.config is None:
        return None
    count = len(model.config.ensemble_scheduling.step)
    match = _STEP.match(_path(model, finding))
    if match is not None and int(match[1]) < count:
        return int(match[1])
    places = {case.origin(model, f"ensemble_scheduling.step[{index}]"): index for index in range(count)}
    return places.get(finding.place) if finding.place != NOWHERE and len(places) == count > 1 else None


def _path(model: Model, finding: Finding) -> str:
    return finding.key.removeprefix("models.").removeprefix(f"{model.name}.")


def _mark(finding: Finding) -> Mark:
    place = plain(str(replace(finding.place, file=_short(finding)))) if finding.place != NOWHERE else ""
    return Mark(finding.severity, plain(finding.code), plain(finding.message), place, plain(finding.remedy))


def _short(finding: Finding) -> str:
    """Return a finding's file within the repository: a drawing does not tell where that lies."""
    _, folder, rest = finding.place.file.rpartition(f"/{finding.model}/")
    return f"{finding.model}/{rest}" if finding.model and folder else finding.place.file.rpartition("/")[2]
