"""Lower a spec into a repository: facts from files, the spec's fields over them, ensembles after their steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.releases import FIELDS_SINCE, fields_newer_than
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Severity, error
from tritonsmith.generator.lower.ensemble import VERSION_FILES, facts_of_steps
from tritonsmith.generator.lower.facts import Facts
from tritonsmith.generator.lower.model_file import facts_of_file
from tritonsmith.generator.lower.python_folder import facts_of_folder
from tritonsmith.generator.repository.core import Content, File, Model, Repository, SourceFile
from tritonsmith.generator.repository.names import CONFIG_FILE, is_plain_name, versions_in
from tritonsmith.generator.repository.states import parent_folders
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import ModelSpec, Spec
from tritonsmith.generator.spec.merge import merge_message
from tritonsmith.generator.spec.message import Filler
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.generator.wiring import compare_boundary, fields_no_ensemble_has


def lower(spec: Spec) -> Repository:
    """Return the repository that a spec describes; it and its models carry the warnings about them.

    Raises: SpecError with everything that is wrong with the spec, in the order of its lines.
    """
    findings = list(spec.findings)
    filler = Filler(findings)
    models: dict[str, Model] = {}
    configs: dict[str, ModelConfig] = {}
    for name in _steps_first(spec.models, findings):
        count = len(findings)
        model = _lower_model(spec, spec.models[name], configs, filler, findings)
        if model is not None and model.config is not None:
            configs[name] = model.config
            models[name] = replace(model, findings=tuple(findings[count:]))
    findings.extend(_unknown_models(spec.models))
    # each once: versions of a model are told the same
    errors = [finding for finding in dict.fromkeys(findings) if finding.severity is Severity.ERROR]
    if errors:
        count = len(errors)
        errors.sort(key=lambda finding: finding.place)
        what = f"{count} things are wrong with the spec" if count > 1 else "the spec is wrong"
        raise SpecError(what, where=str(spec.path), findings=errors)
    ordered = {name: models[name] for name in spec.models}
    return Repository(spec.name, ordered, spec.digest, settings=_settings(spec), findings=spec.findings)


def _lower_model(
    spec: Spec, model: ModelSpec, configs: Mapping[str, ModelConfig], filler: Filler, findings: list[Finding]
) -> Model | None:
    facts = _facts(spec, model, configs, findings)
    if facts is None:
        # The fields are judged all the same, so that every mistake is told at once.
        filler.fill(ModelConfig(), model.fields, key=f"models.{model.name}")
        return None
    below = tree.mapping_from_data(dict(facts.fields), model.place)
    fields = merge_message(below, model.fields, ModelConfig.DESCRIPTOR)
    config = filler.fill(ModelConfig(), fields, key=f"models.{model.name}")
    origins = {"": model.place, **filler.origins, **facts.origins}
    findings.extend(_too_new(spec, model, config))
    findings.extend(_refused_by_triton(model, config))
    if facts.tensors:
        findings.extend(
            compare_boundary(config, facts.tensors, lambda path: origins.get(path, model.place), f"models.{model.name}")
        )
    config.name = model.name
    files: dict[str, File] = {**facts.files, **{name: SourceFile(path) for name, path in model.files.items()}}
    files |= {name: Content(text.encode()) for name, text in model.texts.items()}
    findings.extend(_bad_paths(model, files))
    if not versions_in(name for name in files if "/" in name):
        files.update(VERSION_FILES)
    return Model(model.name, config, files, tuple(sorted(parent_folders(files))), origins=origins)


def _facts(spec: Spec, model: ModelSpec, configs: Mapping[str, ModelConfig], findings: list[Finding]) -> Facts | None:
    if "ensemble" in model.places:
        if not model.ensemble or any(step.model not in configs for step in model.ensemble):
            return None  # the step's own finding says why
        return facts_of_steps(model, configs, findings)
    if "file" in model.places:
        return facts_of_file(model, findings) if model.file else None
    if "python" in model.places:
        return facts_of_folder(model, model.python, findings) if model.python else None
    if not {"backend", "platform"} & model.fields.without_nulls().entries.keys():
        key = f"models.{model.name}"
        hint = "give one of file, python, ensemble; or backend and files for a backend of your own"
        findings.append(error("nothing says what the model is", model.place, key=key, remedy=hint))
        return None
    return Facts()


def _too_new(spec: Spec, model: ModelSpec, config: ModelConfig) -> Iterator[Finding]:
    """Yield the fields that the release does not have yet."""
    for path in fields_newer_than(spec.release.name, config):
        place = model.fields.place_of(path.partition(".")[0])
        message = f"Triton {spec.release.name} does not know this field; it came with {FIELDS_SINCE[path]}"
        hint = f'leave it out, or write triton: "{FIELDS_SINCE[path]}"'
        yield error(message, place, key=f"models.{model.name}.{path}", remedy=hint)


def _refused_by_triton(model: ModelSpec, config: ModelConfig) -> Iterator[Finding]:
    """Yield the fields whose values Triton refuses whatever the rest of the repository is."""
    refused: dict[str, tuple[str, str]] = {}
    if config.name not in ("", model.name):
        refused["name"] = (f"the name '{config.name}' differs from the folder's, which Triton refuses", "leave it out")
    if config.max_batch_size < 0:  # core: model_config_utils.cc ("'max_batch_size' must be non-negative value")
        hint = "0 (or leaving it out) is for a model that does not batch"
        refused["max_batch_size"] = (f"max_batch_size {config.max_batch_size} is below 0", hint)
    for field in fields_no_ensemble_has(config) if "ensemble" in model.places else ():
        refused[field] = (f"an ensemble has no {field}, only its steps have", "give it to the model of a step")
    for field, (message, hint) in refused.items():
        yield error(message, model.fields.place_of(field), key=f"models.{model.name}.{field}", remedy=hint)


def _steps_first(models: Mapping[str, ModelSpec], findings: list[Finding]) -> list[str]:
    """Return the models, the steps of an ensemble before it; ensembles that contain one another are findings."""
    needed = {
        name: {step.model: None for step in model.ensemble if step.model in models} for name, model in models.items()
    }
    while True:
        try:
            return list(TopologicalSorter(needed).static_order())
        except CycleError as problem:
            cycle: list[str] = problem.args[1][:0:-1]  # its last name is its first again
            first = min(cycle, key=lambda name: models[name].place)
            start = cycle.index(first)
            message = f"ensembles contain one another: {' -> '.join([*cycle[start:], *cycle[:start], first])}"
            key, hint = f"models.{first}.ensemble", "take the ensemble out of its own steps"
            findings.append(error(message, models[first].place_of("ensemble"), key=key, remedy=hint))
            needed[first] = {}  # broken there, the next cycle can be found


def _unknown_models(models: Mapping[str, ModelSpec]) -> Iterator[Finding]:
    """Yield the steps and calls that name no model of the spec."""
    for model in models.values():
        key = f"models.{model.name}"
        hint = f"the spec's models are {', '.join(list(models)[:8])}"
        for step in model.ensemble:
            if step.model not in models:
                message = f"the step's model '{step.model}' is not in the spec.{did_you_mean(step.model, models)}"
                yield error(message, step.place, key=f"{key}.ensemble", remedy=hint)
        for name in model.calls:
            if name not in models:
                message = f"the model calls '{name}', which is not in the spec.{did_you_mean(name, models)}"
                yield error(message, model.place_of("calls"), key=f"{key}.calls", remedy=hint)


def _bad_paths(model: ModelSpec, files: Mapping[str, File]) -> Iterator[Finding]:
    """Yield the files that could not be written: climbing out of the model's folder, with other letters, in a file."""
    for path in files:
        key = "files" if path in model.files or path in model.texts else "file" if model.file else "python"
        place = model.place_of(key)
        if not all(map(is_plain_name, path.split("/"))):
            message = f"'{path}' cannot be a file in the model's folder"
            hint = "use letters, digits, '_', '.' and '-', and no '..'"
            yield error(message, place, key=f"models.{model.name}.{key}", remedy=hint)
        for folder in PurePosixPath(path).parents:
            if str(folder) in files or str(folder) == CONFIG_FILE:
                message = f"'{folder}' is both a file and a folder"
                hint = f"call the folder of {path} otherwise"
                yield error(message, place, key=f"models.{model.name}.{key}", remedy=hint)


def _settings(spec: Spec) -> dict[str, Any]:
    """Return what a server of the repository must know beside the models; it travels in the lock."""
    calls = {model.name: list(model.calls) for model in spec.models.values() if model.calls}
    server = spec.server.model_dump(mode="json", exclude_defaults=True)
    hardware = spec.hardware.model_dump(mode="json", exclude_defaults=True)
    deploy = spec.deploy.model_dump(mode="json", exclude_defaults=True)
    sharing = spec.sharing.model_dump(mode="json", exclude_defaults=True)
    given = {"triton": spec.release.name, "hardware": hardware, "sharing": sharing, "server": server, "calls": calls}
    given |= {"deploy": deploy}
    return {key: value for key, value in given.items() if value}
