"""What a blueprint is: a few typed settings that expand into the models of a pipeline.

A blueprint is a folder of this package: `blueprint.py` holds `BLUEPRINT`, beside it stand its README, the commented
`spec.yaml` that `init` writes, demo files, and its Python models as ordinary Triton model folders
(`config.pbtxt` + `1/model.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Blueprint:
    """The contract: `expand(settings, names)` returns the spec's `models:` fragment as plain YAML data.

    `settings` validates a pipeline's `with:`; paths in it are strings relative to the spec. `roles` are the models
    it makes; `names` maps each role to the model's name.
    """

    name: str
    summary: str
    settings: type[BaseModel]
    roles: tuple[str, ...]
    expand: Callable[[Any, Mapping[str, str]], dict[str, Any]]

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
