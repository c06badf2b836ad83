"""What a check looks at: a repository, the target that shall serve it, and where each setting was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.checks.completed import Completion, complete_model
from tritonsmith.generator.errors import RepositoryError, SpecError
from tritonsmith.generator.findings import Finding, Place, error, note, warning
from tritonsmith.generator.fixes import Fix
from tritonsmith.generator.inspect.python_file import PythonFile, read_python
from tritonsmith.generator.repository.core import File, Model, Repository, SourceFile
from tritonsmith.generator.repository.names import CONFIG_FILE, served_versions, versions_of
from tritonsmith.generator.spec.settings import Hardware, Server

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.onnx import OnnxFacts

Kept = TypeVar("Kept")
K = TypeVar("K", bound="_Keeping")


@dataclass(frozen=True)
class Target:
    """The server that the repository is for.

    `gpus` is how many GPUs it has, None where nobody said; `server` are the settings it is started with, None where
    nobody said.
    """

    release: Release = field(default_factory=lambda: RELEASES[EMBEDDED])
    gpus: int | None = 0
    is_auto_complete: bool = True
    server: Server | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded server: no GPU, and in place of C++ backends Python-based ones."""
        return self.release.name == EMBEDDED and self.gpus == 0

    @classmethod
    def of(cls, repository: Repository) -> Target:
        """Return the server that a repository was built for, as its settings say.

        Of a repository that is not ours nothing is known: the newest release then, and no word about GPUs; the newest
        for which it can have been written where it needs TensorRT-LLM's backend.
        """
        settings = repository.settings
        if not settings:
            return cls(RELEASES[_newest_for(repository)], gpus=None)
        server = Server.model_validate(settings.get("server", {}))
        release = RELEASES.get(settings.get("triton", ""), RELEASES[EMBEDDED])
        gpus = Hardware.model_validate(settings.get("hardware", {})).gpus
        return cls(release, gpus, is_auto_complete=not server.strict_model_config, server=server)


def _newest_for(repository: Repository) -> str:
    configs = (model.config for model in repository.models.values() if model.config is not None)
    llms = [config for config in configs if config.backend == "tensorrtllm"]
    if not llms:
        return NEWEST
    from tritonsmith.generator.catalog.tensorrtllm.template_age import newest_fitting_release

    inputs = {tensor.name for config in llms for tensor in config.input}
    return newest_fitting_release(inputs, set.intersection(*(set(config.parameters) for config in llms)))


class _Keeping:
    """What rules work out of it is kept for the others."""

    @cached_property
    def _kept(self) -> dict[Callable[[Any], object], object]:
        return {}

    def once(self: K, work: Callable[[K], Kept]) -> Kept:
        """Return what a function makes of it: worked out when it is first asked for, and kept."""
        if work not in self._kept:
            self._kept[work] = work(self)
        return cast(Kept, self._kept[work])


@dataclass(frozen=True)
class Case(_Keeping):
    """A repository and its target."""

    repository: Repository
    target: Target

    @cached_property
    def completions(self) -> Mapping[str, Completion | RepositoryError]:
        """Each model's configuration, completed as Triton would, or why it cannot be; left out where none parses."""
        models = self.repository.models.values()
        return {
            model.name: complete_model(
                model,
                is_auto_complete=self.target.is_auto_complete,
                python_file=self.python_file,
                onnx_file=self.onnx_file,
            )
            for model in models
            if model.config is not None or not model.findings
        }

    @cached_property
    def _python_files(self) -> dict[tuple[str, str], PythonFile | None]:
        return {}

    @cached_property
    def _onnx_files(self) -> dict[tuple[str, str], OnnxFacts | SpecError | None]:
        return {}

    def python_file(self, model: Model, path: str) -> PythonFile | None:
        """Return a Python file of a model, by its path in the model's folder; read once, None where there is none."""
        key = model.name, path
        if key not in self._python_files:
            file = model.files.get(path)
            self._python_files[key] = read_python(file) if file is not None else None
        return self._python_files[key]

    def onnx_file(self, model: Model, path: str) -> OnnxFacts | SpecError | None:
        """Return what an ONNX file of a model holds, or why it cannot be read; read once, None where there is none."""
        key = model.name, path
        if key not in self._onnx_files:
            self._onnx_files[key] = _read_graph(model.files.get(path))
        return self._onnx_files[key]

    @cached_property
    def configs(self) -> Mapping[str, ModelConfig]:
        """The completed configurations."""
        return {name: found.config for name, found in self.completions.items() if isinstance(found, Completion)}

    @cached_property
    def by_name(self) -> Mapping[str, ModelCase]:
        """The models that parse and can be completed."""
        models = self.repository.models
        return {name: ModelCase(self, models[name], config) for name, config in self.configs.items()}

    @cached_property
    def decoupled(self) -> frozenset[str]:
        """The names of the models that may answer a request with any number of responses, ensembles by their steps."""
        from tritonsmith.generator.checks.decoupled import decoupled_models

        return decoupled_models(self)

    def models(self) -> Iterator[ModelCase]:
        """Yield the models that parse and can be completed."""
        yield from self.by_name.values()

    def origin(self, model: Model, path: str = "") -> Place:
        """Return where a field of a model was written, or the nearest field around it."""
        while path:
            if path in model.origins:
                return model.origins[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]  # step[1].input_map -> step[1] -> step
        return model.origins.get("", Place(f"{model.name}/{CONFIG_FILE}"))

    def about(self, model: Model, finding: Finding, path: str = "") -> Finding:
        """Return a finding as one about a model, at a field's place where it has none yet."""
        place = finding.place if finding.place.file else self.origin(model, path)
        key = finding.key or ".".join(part for part in (model.name, path) if part)
        return replace(finding, place=place, key=key, model=model.name)


@dataclass(frozen=True)
class ModelCase(_Keeping):
    """One model of a case; `config` is its configuration, completed as Triton would."""

    case: Case
    model: Model
    config: ModelConfig

    @property
    def name(self) -> str:
        """The model's name: that of its folder."""
        return self.model.name

    @property
    def target(self) -> Target:
        """The server that shall load it."""
        return self.case.target

    @property
    def is_ensemble(self) -> bool:
        """Whether it is an ensemble, as its platform says."""
        return self.config.platform == "ensemble"

    @property
    def completion(self) -> Completion:
        """How its configuration was completed."""
        found = self.case.completions[self.name]
        assert isinstance(found, Completion), "a model case is made of a completed configuration"
        return found

    @property
    def is_whole(self) -> bool:
        """Whether `config` is all that the server will know.

        Not where a Python model adds tensors in a way that only running it tells: what is missing is no mistake then.
        """
        return self.completion.is_whole

    @cached_property
    def versions(self) -> list[int]:
        """The versions that are loaded, in ascending order: those of its folders that its version policy chooses."""
        return served_versions(self.config, versions_of(self.model))

    @cached_property
    def fields(self) -> frozenset[str]:
        """The names of the fields that the completed configuration sets."""
        return frozenset(field.name for field, _ in self.config.ListFields())

    def error(self, path: str, message: str, *, remedy: str = "", fix: Fix | None = None) -> Finding:
        """Return an error about the field at a dotted path, "" for the model as a whole."""
        return self._about(path, error(message, remedy=remedy), fix)

    def warning(self, path: str, message: str, *, remedy: str = "", fix: Fix | None = None) -> Finding:
        """Return a warning about the field at a dotted path."""
        return self._about(path, warning(message, remedy=remedy), fix)

    def note(self, path: str, message: str, *, remedy: str = "", fix: Fix | None = None) -> Finding:
        """Return a note about the field at a dotted path."""
        return self._about(path, note(message, remedy=remedy), fix)

    def _about(self, path: str, finding: Finding, fix: Fix | None) -> Finding:
        return replace(self.case.about(self.model, finding, path), fix=fix)


def _read_graph(file: File | None) -> OnnxFacts | SpecError | None:
    if not isinstance(file, SourceFile):
        return None
    from tritonsmith.generator.inspect.onnx import read_onnx  # imports onnx, which few repositories need

    try:
        return read_onnx(file.path)
    except SpecError as problem:
        return problem
