"""What a blueprint is: a few typed settings that expand into the models of a pipeline.

A blueprint is a folder of this package: `blueprint.py` holds `BLUEPRINT`, beside it stand its README, the commented
`spec.yaml` that `init` writes, demo files, and its Python models as ordinary Triton model folders
(`config.pbtxt` + `1/model.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tritonsmith.generator.catalog.releases import EMBEDDED, RELEASES, Release
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import NOWHERE, Finding, Place, error, warning
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Engine
from tritonsmith.generator.spec.settings import Hardware, Server
from tritonsmith.generator.suggest import did_you_mean

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Use:
    """Where a blueprint is used: in which pipeline of what spec; what is wrong goes into `findings`, with its place.

    `names` maps each role to the model's name. `folder` is the spec's, where relative paths start.
    """

    names: Mapping[str, str]
    release: Release = RELEASES[EMBEDDED]
    hardware: Hardware = field(default_factory=Hardware)
    folder: Path = Path()
    server: Server = field(default_factory=Server)
    pipeline: str = ""
    engine: Engine | None = None
    replicas: int = 1
    nodes: int = 1
    tree: tree.Mapping = field(default_factory=lambda: tree.Mapping({}, NOWHERE))  # the pipeline's entry
    findings: list[Finding] = field(default_factory=list)

    def error(self, message: str, *path: str, hint: str = "") -> Finding:
        """Return an error at a key of the pipeline, e.g. `error("...", "with", "parameters", "max_beam_width")`."""
        return error(message, self.place_of(*path), key=self._key(path), remedy=hint)

    def warning(self, message: str, *path: str, hint: str = "") -> Finding:
        """Return a warning at a key of the pipeline."""
        return warning(message, self.place_of(*path), key=self._key(path), remedy=hint)

    def place_of(self, *path: str) -> Place:
        """Return where a key was written, or the nearest above it that was."""
        place, node = self.tree.place, self.tree
        for name in path:
            if name not in node.entries:
                return place
            place, below = node.place_of(name), node.entries[name]
            if not isinstance(below, tree.Mapping):
                return place
            node = below
        return place

    def _key(self, path: tuple[str, ...]) -> str:
        return ".".join(("pipelines", self.pipeline, *path))


@dataclass(frozen=True)
class Blueprint:
    """The contract: `expand(settings, use)` returns the spec's `models:` fragment as plain YAML data.

    `settings` validates a pipeline's `with:`; paths in it are strings relative to the spec. `roles` are the models
    it makes. Only a blueprint of LLMs `takes_engine`: the pipeline's `engine`, `replicas` and `nodes`.
    """

    name: str
    summary: str
    settings: type[BaseModel]
    roles: tuple[str, ...]
    expand: Callable[[Any, Use], dict[str, Any]]
    takes_engine: bool = False

    @property
    def folder(self) -> Path:
        """The blueprint's own folder."""
        return FOLDER / self.name


def blueprint_names() -> list[str]:
    """Return the names of the blueprints that this package holds."""
    return sorted(entry.parent.name for entry in FOLDER.glob("*/blueprint.py"))


def find_blueprint(name: str) -> Blueprint:
    """Return the blueprint of a name.

    Raises: UsageError where there is none.
    """
    known = blueprint_names()
    if name not in known:
        raise UsageError(
            f"there is no blueprint '{name}'.{did_you_mean(name, known)}", hint=f"one of {', '.join(known)}"
        )
    blueprint: Blueprint = importlib.import_module(f"tritonsmith.ensembles.{name}.blueprint").BLUEPRINT
    return blueprint
