"""A spec as data: what the user wrote, profile and blueprints merged in, every value knowing its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tritonsmith.generator.catalog.releases import Release
from tritonsmith.generator.findings import Finding, Place
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.settings import Hardware, Server
from tritonsmith.generator.spec.sharing import Sharing

if TYPE_CHECKING:
    from tritonsmith.generator.spec.tune import Tune  # which reads it against the models


@dataclass(frozen=True)
class Step:
    """A step of an ensemble; a map that is None is wired by tensor name.

    `input_map` and `output_map` map the model's tensor to the ensemble's, as Triton's do.
    """

    model: str
    place: Place
    version: int = -1
    namespace: str = ""
    input_map: Mapping[str, str] | None = None
    output_map: Mapping[str, str] | None = None
    places: Mapping[str, Place] = field(default_factory=dict)  # by field: model_name, input_map, input_map.x

    def place_of(self, path: str) -> Place:
        """Return where a field of the step was written, or what is nearest around it."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, self.place)


@dataclass(frozen=True)
class Variant:
    """A file that may stand in for the model's, such as one of another precision; `text` is the path as written."""

    path: Path
    text: str
    place: Place


@dataclass(frozen=True)
class ModelSpec:
    """One model: what is ours, and `fields`, the tree of ModelConfig fields that `lower` completes and checks.

    Paths are absolute. `file` maps a version to its model file; `files` maps a path in the model's folder to a file,
    `texts` to what stands in one.
    """

    name: str
    place: Place
    fields: tree.Mapping
    file: Mapping[int, Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)
    python: Path | None = None
    ensemble: tuple[Step, ...] = ()
    calls: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)  # where each of our keys was written

    def place_of(self, key: str) -> Place:
        """Return where one of our keys was written."""
        return self.places.get(key, self.place)


@dataclass(frozen=True)
class Engine:
    """What a pipeline's LLM is: the folder on this machine, and how the server gets at it.

    `copy` puts it into the repository, `link` names it where it is, `mounted` names the path `at` which the server
    finds it. `path` is None where the folder is not on this machine.
    """

    path: Path | None
    place: Literal["copy", "link", "mounted"] = "copy"
    at: str = ""


@dataclass(frozen=True)
class Pipeline:
    """A blueprint's use: `settings` is its `with:` as plain data, `names` renames the models it makes.

    `replicas` are copies of the engine, `nodes` the machines that one copy spans.
    """

    name: str
    blueprint: str
    settings: Mapping[str, Any]
    names: Mapping[str, str]
    tree: tree.Mapping  # the whole entry, for places
    engine: Engine | None = None
    replicas: int = 1
    nodes: int = 1

    @property
    def place(self) -> Place:
        """Where the pipeline was written."""
        return self.tree.place


@dataclass(frozen=True)
class Surroundings:
    """What of the spec a pipeline is expanded in: release, hardware, server, and the folder that paths count from."""

    release: Release
    hardware: Hardware
    folder: Path
    server: Server = field(default_factory=Server)


@dataclass(frozen=True)
class Spec:
    """A whole spec. `findings` are what is wrong with it so far; `lower` finds the rest and raises them together."""

    path: Path
    name: str
    release: Release
    hardware: Hardware
    server: Server
    models: Mapping[str, ModelSpec]
    digest: str = ""
    tune: Tune | None = None
    deploy: Deploy = field(default_factory=Deploy)
    sharing: Sharing = field(default_factory=Sharing)
    findings: tuple[Finding, ...] = ()


# Expands one pipeline into the `models:` fragment of its blueprint, as plain data; findings go into the list.
Expander = Callable[[Pipeline, Surroundings, list[Finding]], dict[str, Any]]
# Resolves what stands behind `python: blueprint:` into a model folder, None where there is no such model.
Locator = Callable[[str], Path | None]
