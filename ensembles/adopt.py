"""`init --from`: the spec of a repository that exists, so that `build` gives the same models, field by field.

Each model is first written as briefly as a spec can be, the whole spec is lowered, and what comes out is compared with
what the repository holds. A model that comes out otherwise is written a step less briefly, until nothing differs.
"""

from __future__ import annotations

import enum
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.starter import refuse_existing, write_new, writing
from tritonsmith.generator.catalog.backends import BACKENDS
from tritonsmith.generator.errors import RepositoryError, SpecError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.repository.complete import complete_config
from tritonsmith.generator.repository.core import Model, Repository, SourceFile
from tritonsmith.generator.repository.names import is_model_name, is_version_folder
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.spec.data import message_data


class Brevity(enum.IntEnum):
    """How a model is written."""

    VERBATIM = 0  # every field of its configuration, every file by name
    SHORT = 1  # with file:, python: or ensemble:
    SHORTEST = 2  # without what is read from the file or follows from the steps


def write_spec_of(path: Path, spec: Path) -> str:
    """Write the spec of the repository at `path` and return a line that says so.

    Raises: UsageError where the spec exists or cannot be written; RepositoryError where a model cannot be read, or
    cannot be written as a spec.
    """
    refuse_existing([spec])
    repository = read_repository(path)
    _refuse_unreadable(repository)
    with writing(spec):
        spec.parent.mkdir(parents=True, exist_ok=True)
        write_new(spec, spec_of(repository, spec.resolve().parent))
    return f"{spec}: {len(repository.models)} models of {path}"


def spec_of(repository: Repository, folder: Path) -> str:
    """Return the spec of a repository as YAML; paths in it are relative to `folder`.

    Raises: RepositoryError where no spec makes the same models.
    """
    brevity = dict.fromkeys(repository.models, Brevity.SHORTEST)
    while True:
        text = _render(repository, folder, brevity)
        built = _lowered(text, folder)
        wrong = _differing(repository, built)
        if not wrong:
            return text
        longer = {name: Brevity(brevity[name] - 1) for name in wrong if brevity[name] > Brevity.VERBATIM}
        if not longer:
            problems = built.findings if isinstance(built, SpecError) else ()
            reasons = [f"{finding.key}: {finding.message}" for finding in problems] or sorted(wrong)
            raise RepositoryError(
                "\n  ".join(["no spec builds the same models:", *reasons]), hint="rename or mend them in the repository"
            )
        brevity.update(longer)


def _refuse_unreadable(repository: Repository) -> None:
    problems = [str(finding) for model in repository.models.values() for finding in model.findings]
    problems += [f"{m.name}/{path} is {fault}" for m in repository.models.values() for path, fault in m.faults.items()]
    problems += [f"'{name}' cannot name a model in a spec" for name in repository.models if not is_model_name(name)]
    if problems:
        raise RepositoryError(
            "\n  ".join(["not every model can be read:", *problems]), hint="mend them; check says more about each"
        )


def _lowered(text: str, folder: Path) -> Repository | SpecError:
    """Return what a spec in a folder would build, or why it cannot."""
    with tempfile.NamedTemporaryFile("w", prefix=".init-", suffix=".yaml", dir=folder, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            return lower(load_spec(Path(file.name)))
        except SpecError as problem:
            return problem


def _differing(repository: Repository, built: Repository | SpecError) -> set[str]:
    """Return the models that are built otherwise, or that are wrong; all of them where it is not known which."""
    if isinstance(built, SpecError):
        keys = [finding.key for finding in built.findings]
        named = {name for name in repository.models for key in keys if f"{key}.".startswith(f"models.{name}.")}
        return named or set(repository.models)
    return {name for name, model in repository.models.items() if not _is_same(model, built.models[name])}


def _is_same(model: Model, built: Model) -> bool:
    """Whether two models have equal configurations, completed as Triton would, and files of the same names."""
    return complete_config(model) == complete_config(built) and _kept(model) == _kept(built)


def _kept(model: Model) -> set[str]:
    """Return the model's files; those that only keep a version folder from vanishing do not count."""
    return {path for path in model.files if not path.endswith("/.gitkeep")}


def _render(repository: Repository, folder: Path, brevity: Mapping[str, Brevity]) -> str:
    models = {model.name: _model(model, folder, brevity[model.name]) for model in repository.models.values()}
    settings = dict(repository.settings)
    for name, calls in settings.pop("calls", {}).items():
        if name in models:  # it may be gone since the build
            models[name]["calls"] = calls
    named = {"repository": repository.name} if is_model_name(repository.name) else {}
    data = {**named, **settings, "models": models}
    body: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return f"# Written by `tritonsmith init --from`; `tritonsmith build` makes the same models from it.\n{body}"


def _model(model: Model, folder: Path, brevity: Brevity) -> dict[str, Any]:
    config = complete_config(model)
    fields = message_data(model.config) if model.config is not None else {}
    fields.pop("name", None)
    if brevity is Brevity.VERBATIM:
        backend = {"backend": config.backend} if config.backend else {}
        return {**backend, **fields, **_files(model, folder, model.files)}
    if config.platform == "ensemble":
        return {**_ensemble(fields, brevity), **_files(model, folder, _kept(model))}
    fields.pop("backend", None)
    if config.backend == "python":
        root = next((file.path.parents[path.count("/")] for path, file in _sources(model)), None)
        read = fields if brevity is Brevity.SHORT else {}  # its config.pbtxt is read from there
        return {"python": _relative(root, folder), **read} if root else fields
    return _from_file(model, config, fields, folder, brevity)


def _from_file(
    model: Model, config: ModelConfig, fields: dict[str, Any], folder: Path, brevity: Brevity
) -> dict[str, Any]:
    """Return a model with `file:`, its other files under `files:`."""
    sources, versions = dict(_sources(model)), _model_files(model, config)
    given = {version: _relative(sources[path].path, folder) for version, path in versions.items()}
    source: dict[str, Any] = {"file": given[1] if set(given) == {1} else given} if given else {}
    if brevity is Brevity.SHORTEST:
        fields = {name: value for name, value in fields.items() if name not in ("input", "output")}
    return {**source, **fields, **_files(model, folder, _kept(model) - set(versions.values()))}


def _files(model: Model, folder: Path, paths: Collection[str]) -> dict[str, Any]:
    files = {path: _relative(file.path, folder) for path, file in _sources(model) if path in paths}
    return {"files": files} if files else {}


def _sources(model: Model) -> list[tuple[str, SourceFile]]:
    return [(path, file) for path, file in model.files.items() if isinstance(file, SourceFile)]


def _model_files(model: Model, config: ModelConfig) -> dict[int, str]:
    """Return version -> path of the files that `file:` would place."""
    row = BACKENDS.get(config.backend)
    name = config.default_model_filename or (row.model_file if row else "")
    found = {}
    for path in model.files:
        version, _, rest = path.partition("/")
        if rest == name and is_version_folder(version):
            found[int(version)] = path
    return found


def _ensemble(fields: dict[str, Any], brevity: Brevity) -> dict[str, Any]:
    """Return an ensemble with Triton's own steps under `ensemble:`, which checks them."""
    steps = [dict(step) for step in fields.pop("ensemble_scheduling", {}).get("step", [])]
    for step in steps:
        if step.get("model_version") == -1:
            del step["model_version"]
        else:
            step.setdefault("model_version", 0)  # omitted means 0 to Triton, and -1 in a spec
    dropped = {"platform"} | ({"input", "output", "max_batch_size"} if brevity is Brevity.SHORTEST else set())
    return {"ensemble": steps, **{name: value for name, value in fields.items() if name not in dropped}}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)
