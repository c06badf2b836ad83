"""What is decided before a server starts: which models it can load, in which order, and what is changed for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.server.adapt import (
    Host,
    depends_on,
    fit_to_host,
    load_order,
    refusal,
    without_newer_fields,
)
from tritonsmith.backends.server.view import model_folders
from tritonsmith.generator.repository.core import Model
from tritonsmith.generator.repository.names import CONFIG_FILE
from tritonsmith.generator.repository.pbtxt import parse_config, render_config
from tritonsmith.generator.repository.read import read_model


@dataclass(frozen=True)
class Prepared:
    """A view that is ready to be served.

    `configs` are the configurations in the view (None where one does not parse: Triton will say why), `overrides`
    those that are loaded in their place, `refused` the models that are not tried, with the reason.
    """

    repository: Path
    view: Path
    host: Host
    configs: Mapping[str, ModelConfig | None]
    overrides: Mapping[str, ModelConfig]
    refused: Mapping[str, str]
    order: tuple[str, ...]
    needed: Mapping[str, tuple[str, ...]]  # model -> models that must be loaded before it
    notices: tuple[str, ...]

    def in_users_words(self, text: str) -> str:
        """Return a server's message with the user's own paths in place of the view's."""
        return text.replace(str(self.view), str(self.repository))


def prepare(
    repository: Path, view: Path, names: list[str], host: Host, calls: Mapping[str, tuple[str, ...]]
) -> Prepared:
    """Read the view's configurations, rewrite those that the server is too old for, and plan the loading."""
    configs: dict[str, ModelConfig | None] = {}
    overrides: dict[str, ModelConfig] = {}
    refused: dict[str, str] = {}
    notices: list[str] = []
    for name in names:
        model = read_model(view / name)
        config, left_out = _older_config(model, view / name / CONFIG_FILE, host.release)
        configs[name] = config
        notices += [f"{name}: {field} left out (newer than the server, {host.release})" for field in left_out]
        if config is None:
            continue
        if reason := refusal(replace(model, config=config), host):
            refused[name] = reason
            continue
        fitted, changes = fit_to_host(config, host)
        if changes:
            overrides[name] = fitted
            notices += [f"{name}: {change}" for change in changes]
    needed = {name: tuple(depends_on(config, calls.get(name, ()))) for name, config in configs.items()}
    order = tuple(load_order(configs, calls))
    return Prepared(repository, view, host, configs, overrides, refused, order, needed, tuple(notices))


def read_configs(repository: Path) -> dict[str, ModelConfig | None]:
    """Return the configuration of each model that has one; None where it does not parse.

    Raises: RepositoryError where there is no repository, or no model in it.
    """
    configs: dict[str, ModelConfig | None] = {}
    for path in (folder / CONFIG_FILE for folder in model_folders(repository)):
        if not path.is_file():
            continue
        config = parse_config(path.read_text(encoding="utf-8", errors="replace"), str(path))
        configs[path.parent.name] = config if isinstance(config, ModelConfig) else None
    return configs


def _older_config(model: Model, path: Path, release: str) -> tuple[ModelConfig | None, list[str]]:
    """Return a model's configuration without what the server does not know; its file in the view, at `path`, follows.

    It is None where the file does not parse, and empty where there is none: then the server completes it.
    """
    if model.config is None:
        return None if model.findings else ModelConfig(), []
    older, left_out = without_newer_fields(model.config, release)
    if left_out:
        path.unlink()  # it is a link to the user's file
        path.write_text(render_config(older), encoding="utf-8")
    return older, left_out
