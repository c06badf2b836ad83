"""Read a spec with its blueprints: pipelines expanded into models, blueprints' Python models found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tritonsmith.ensembles.blueprint import FOLDER, Blueprint, Use, blueprint_names, find_blueprint
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Pipeline, Spec, Surroundings
from tritonsmith.generator.spec.read import read_spec
from tritonsmith.generator.spec.settings import validation_findings
from tritonsmith.generator.suggest import did_you_mean


def load_spec(path: Path, profile: str = "") -> Spec:
    """Return a spec with its pipelines expanded; see `read_spec`."""
    return read_spec(path, profile=profile, expand=expand_pipeline, locate=find_python_model)


def find_python_model(name: str) -> Path | None:
    """Return the folder of a blueprint's Python model (`image_classification/preprocessing`), None if there is none."""
    blueprint, _, model = name.partition("/")
    folder = FOLDER / blueprint / model
    return folder if blueprint in blueprint_names() and model and (folder / "1" / "model.py").is_file() else None


def expand_pipeline(pipeline: Pipeline, around: Surroundings, findings: list[Finding]) -> dict[str, Any]:
    """Return the `models:` fragment of a pipeline; what is wrong with its settings is added to `findings`."""
    key = f"pipelines.{pipeline.name}"
    known = blueprint_names()
    if pipeline.blueprint not in known:
        message = f"there is no blueprint '{pipeline.blueprint}'.{did_you_mean(pipeline.blueprint, known)}"
        place = pipeline.tree.place_of("use")
        findings.append(error(message, place, key=f"{key}.use", remedy=f"one of {', '.join(known)}"))
        return {}
    blueprint = find_blueprint(pipeline.blueprint)
    count = len(findings)
    names = _names(pipeline, blueprint, findings)
    _refuse_engine(pipeline, blueprint, findings)
    try:
        settings = blueprint.settings.model_validate(dict(pipeline.settings))
    except ValidationError as problem:
        given = pipeline.tree.entries.get("with")
        given = given if isinstance(given, tree.Mapping) else tree.Mapping({}, pipeline.tree.place_of("with"))
        findings.extend(validation_findings(problem, blueprint.settings, given, f"{key}.with"))
        return {}
    return blueprint.expand(settings, _use(pipeline, names, around, findings)) if len(findings) == count else {}


def _use(pipeline: Pipeline, names: dict[str, str], around: Surroundings, findings: list[Finding]) -> Use:
    return Use(
        names=names,
        release=around.release,
        hardware=around.hardware,
        folder=around.folder,
        server=around.server,
        pipeline=pipeline.name,
        engine=pipeline.engine,
        replicas=pipeline.replicas,
        nodes=pipeline.nodes,
        tree=pipeline.tree,
        findings=findings,
    )


def _refuse_engine(pipeline: Pipeline, blueprint: Blueprint, findings: list[Finding]) -> None:
    """Add a finding for each key of an engine that the blueprint would not look at."""
    for name in ("engine", "replicas", "nodes"):
        if name in pipeline.tree.entries and not blueprint.takes_engine:
            message = f"{blueprint.name} has no engine, so no '{name}'"
            place, key = pipeline.tree.place_of(name), f"pipelines.{pipeline.name}.{name}"
            findings.append(error(message, place, key=key, remedy="leave it out"))


def _names(pipeline: Pipeline, blueprint: Blueprint, findings: list[Finding]) -> dict[str, str]:
    """Return role -> model name, as renamed; the last role, which clients call, has the pipeline's own name."""
    names = {role: role for role in blueprint.roles} | {blueprint.roles[-1]: pipeline.name}
    given = pipeline.tree.entries.get("names")
    places = given if isinstance(given, tree.Mapping) else pipeline.tree
    key = f"pipelines.{pipeline.name}.names"
    for role in pipeline.names:
        if role not in names:
            message = f"{blueprint.name} makes no '{role}'.{did_you_mean(role, names)}"
            hint = f"it makes {', '.join(names)}"
            findings.append(error(message, places.place_of(role), key=f"{key}.{role}", remedy=hint))
    names |= {role: name for role, name in pipeline.names.items() if role in names}
    roles: dict[str, str] = {}
    for role, name in names.items():
        other = roles.setdefault(name, role)
        if other != role:
            message = f"'{name}' would be two models: {other} and {role}"
            place = places.place_of(role if role in pipeline.names else other)
            hint = f"names: {{{other}: {pipeline.name}_{other}}}"
            findings.append(error(message, place, key=f"{key}.{other}", remedy=hint))
    return names
