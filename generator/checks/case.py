"""What a check looks at: a repository, the target that shall serve it, and where each setting was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.releases import EMBEDDED, RELEASES, Release
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository.complete import complete_config
from tritonsmith.generator.repository.core import Model, Repository
from tritonsmith.generator.spec.settings import Hardware


@dataclass(frozen=True)
class Target:
    """The server that the repository is for."""

    release: Release = field(default_factory=lambda: RELEASES[EMBEDDED])
    gpus: int = 0

    @classmethod
    def of(cls, repository: Repository) -> Target:
        """Return the server that a repository was built for, as its settings say; else the embedded one."""
        hardware = Hardware.model_validate(repository.settings.get("hardware", {}))
        return cls(RELEASES.get(repository.settings.get("triton", ""), RELEASES[EMBEDDED]), hardware.gpus)


@dataclass(frozen=True)
class Case:
    """A repository and its target."""

    repository: Repository
    target: Target

    @cached_property
    def completions(self) -> Mapping[str, ModelConfig | RepositoryError]:
        """Each model's configuration, completed as Triton would, or why it cannot be; left out where none parses."""
        models = self.repository.models.values()
        return {model.name: _completed(model) for model in models if model.config is not None or not model.findings}

    @cached_property
    def configs(self) -> Mapping[str, ModelConfig]:
        """The completed configurations."""
        return {name: found for name, found in self.completions.items() if isinstance(found, ModelConfig)}

    def models(self) -> Iterator[tuple[Model, ModelConfig]]:
        """Yield the models that parse, with their completed configurations."""
        for name, config in self.configs.items():
            yield self.repository.models[name], config

    def origin(self, model: Model, path: str = "") -> Place:
        """Return where a field of a model was written, or the nearest field around it."""
        while path:
            if path in model.origins:
                return model.origins[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]  # step[1].input_map -> step[1] -> step
        return model.origins.get("", Place(f"{model.name}/config.pbtxt"))


def _completed(model: Model) -> ModelConfig | RepositoryError:
    try:
        return complete_config(model)
    except RepositoryError as problem:
        return problem
