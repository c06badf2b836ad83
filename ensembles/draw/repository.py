"""A repository as a drawing: each pipeline of it, then the models that belong to none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.draw.core import Drawing, Graph, plain
from tritonsmith.ensembles.draw.marks import marks_by_model
from tritonsmith.ensembles.draw.pipeline import Scene, graph_of, lone_box
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.rules.ensembles.calls import calls_of
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.names import versions_of
from tritonsmith.generator.suggest import did_you_mean

NO_CALLS: Mapping[str, Sequence[str]] = {}


def draw_repository(case: Case, findings: Iterable[Finding], model: str = "") -> Drawing:
    """Return the drawing of a repository, or of the pipeline that begins at one model.

    Raises: UsageError where there is no such model.
    """
    models = case.repository.models
    if model and model not in models:
        known = f"the repository has {', '.join(sorted(models))}"
        raise UsageError(f"no model '{model}' here.{did_you_mean(model, models)}", hint=known)
    marks, others = marks_by_model(case, findings)
    configs = {name: case.configs.get(name, found.config) for name, found in models.items()}
    scene = Scene(
        {name: config for name, config in configs.items() if config is not None},
        {name: versions_of(found) for name, found in models.items()},
        calls_of(case),
        marks,
        frozenset(name for name, config in configs.items() if config is None),
    )
    name = plain(case.repository.name)
    if model:
        return Drawing(name, (graph_of(scene, model),))
    return Drawing(name, tuple(_pipelines(scene, list(models))), others)


def draw_served(configs: Mapping[str, ModelConfig], model: str, calls: Mapping[str, Sequence[str]] = NO_CALLS) -> Graph:
    """Return the pipeline of a model from the configurations that a server gave; `calls` are those that are known."""
    return graph_of(Scene(configs, calls=calls), model)


def _pipelines(scene: Scene, models: list[str]) -> Iterator[Graph]:
    """Yield the pipelines of a repository, ensembles first, then all that stand alone in one graph."""
    needs = {model: _needs(scene, model) for model in models}
    alone = [model for model in models if not needs[model] and not any(model in some for some in needs.values())]
    drawn: set[str] = set(alone)
    inner = {name for model in models for name in needs[model] if name != model}
    tops = sorted((model for model in models if model not in inner), key=lambda model: not scene.is_ensemble(model))
    for model in (*tops, *models):  # what is left after the tops needs itself in a circle
        if model not in drawn:
            drawn |= _reached(needs, model)
            yield graph_of(scene, model)
    if alone:
        boxes = tuple(lone_box(scene, model) for model in alone)
        yield Graph("models in no pipeline" if len(alone) < len(models) else "", boxes=boxes)


def _needs(scene: Scene, model: str) -> set[str]:
    """Return the models that a model's own box leads to: its steps, and those that it calls."""
    config = scene.configs.get(model, ModelConfig())
    return {step.model_name for step in config.ensemble_scheduling.step} | set(scene.calls.get(model, ()))


def _reached(needs: Mapping[str, set[str]], model: str) -> set[str]:
    found, waiting = {model}, [model]
    while waiting:
        new = needs.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
